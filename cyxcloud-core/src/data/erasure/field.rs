//! GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D), generator 2: the field of `reed-solomon-erasure`, klauspost's and Backblaze's
//! coders, and RAID 6 (H. Peter Anvin, "The mathematics of RAID-6").

/// x^8 is the sum of these lower powers.
const REDUCTION: u8 = 0x1D;

/// Powers of 2 (twice over, so that a sum of two logarithms needs no modulo) and logarithms.
const TABLES: ([u8; 512], [u8; 256]) = {
    let (mut exp, mut log) = ([0; 512], [0; 256]);
    let (mut power, mut at) = (1u8, 0);
    while at < 255 {
        exp[at] = power;
        exp[at + 255] = power;
        log[power as usize] = at as u8;
        power = times_two(power);
        at += 1;
    }
    (exp, log)
};

/// Every product of two elements.
static PRODUCTS: [[u8; 256]; 256] = {
    let mut products = [[0; 256]; 256];
    let mut a = 0;
    while a < 256 {
        let mut b = 0;
        while b < 256 {
            products[a][b] = multiply(a as u8, b as u8);
            b += 1;
        }
        a += 1;
    }
    products
};

const fn times_two(a: u8) -> u8 {
    (a << 1) ^ if a & 0x80 != 0 { REDUCTION } else { 0 }
}

/// `a * b`.
pub(super) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    let (exp, log) = &TABLES;
    exp[log[a as usize] as usize + log[b as usize] as usize]
}

/// `a / b`; `b` must not be 0.
pub(super) fn divide(a: u8, b: u8) -> u8 {
    debug_assert!(b != 0, "division by zero in GF(2^8)");
    if a == 0 {
        return 0;
    }
    let (exp, log) = &TABLES;
    exp[usize::from(log[usize::from(a)]) + 255 - usize::from(log[usize::from(b)])]
}

/// `a` times every element.
pub(super) fn products(a: u8) -> &'static [u8; 256] {
    &PRODUCTS[usize::from(a)]
}

/// Multiplication by `a` as the 8x8 bit matrix that GF2P8AFFINEQB takes: bit `i` of the product is the parity of the operand and byte `7 - i`.
/// Intel's Software Developer's Manual, volume 2, GF2P8AFFINEQB.
pub(super) fn affine(a: u8) -> u64 {
    let row = |i: usize| (0..8).fold(0, |row, j| row | (products(a)[1 << j] >> i & 1) << j);
    u64::from_le_bytes(std::array::from_fn(|byte| row(7 - byte)))
}

/// `a` times the 16 low and the 16 high nibbles, for kernels that look products up 16 at a time (Plank, Greenan, Miller, "Screaming Fast
/// Galois Field Arithmetic Using Intel SIMD Instructions", FAST 2013).
pub(super) fn nibbles(a: u8) -> [u8; 32] {
    std::array::from_fn(|i| products(a)[if i < 16 { i } else { (i - 16) << 4 }])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication as it is defined: polynomials, reduced.
    fn slowly(a: u8, b: u8) -> u8 {
        let shifted = (0..8).scan(a, |x, _| Some(std::mem::replace(x, times_two(*x))));
        shifted.enumerate().filter(|(bit, _)| b >> bit & 1 == 1).fold(0, |sum, (_, x)| sum ^ x)
    }

    #[test]
    fn tables_are_the_field() {
        for a in 0..=255 {
            for b in 0..=255 {
                let product = slowly(a, b);
                assert_eq!(multiply(a, b), product);
                assert_eq!(products(a)[usize::from(b)], product);
                if b != 0 {
                    assert_eq!(divide(product, b), a);
                }
                let [low, high] = [nibbles(a)[usize::from(b & 15)], nibbles(a)[16 + usize::from(b >> 4)]];
                assert_eq!(low ^ high, product);
                let rows = affine(a).to_le_bytes();
                let bits = (0..8).fold(0u8, |y, i| y | (((rows[7 - i] & b).count_ones() as u8 & 1) << i));
                assert_eq!(bits, product);
            }
        }
    }
}
