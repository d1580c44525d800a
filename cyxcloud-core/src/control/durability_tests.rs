use proptest::prelude::*;

use super::*;
use crate::control::documented::assert_section;
use crate::testing::SplitMix64;

fn scheme(data: usize, parity: usize) -> Scheme {
    Scheme::new(data, parity).unwrap()
}

fn assume(node_afr: f64, repair_hours: f64) -> Assumptions {
    Assumptions { node_afr, repair_hours, detection_hours: 0.0, repair_threshold: 1, pace: Pace::EachShard }
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

/// Failures and repairs per year.
fn rates(of: &Assumptions) -> (f64, f64) {
    (of.failures_per_year(), 1.0 / of.window_years())
}

#[test]
fn small_chains_match_their_closed_forms() {
    for (afr, hours) in [(0.01, 0.5), (0.1, 24.0), (0.9, 5_000.0)] {
        let by = assume(afr, hours);
        let (fail, repair) = rates(&by);
        let alone = mttdl_years(scheme(4, 0), &by).unwrap();
        assert!(close(alone, 1.0 / (4.0 * fail), 1e-12));
        let mirror = mttdl_years(scheme(1, 1), &by).unwrap();
        assert!(close(mirror, (3.0 * fail + repair) / (2.0 * fail * fail), 1e-12));
        // A group of n with one parity (Patterson, Gibson, Katz without their approximation).
        let n = 8.0;
        let raid5 = mttdl_years(scheme(7, 1), &by).unwrap();
        assert!(close(raid5, ((2.0 * n - 1.0) * fail + repair) / (n * (n - 1.0) * fail * fail), 1e-12));
        // Three copies, rebuilt one at a time.
        let copies = mttdl_years(scheme(1, 2), &Assumptions { pace: Pace::OneAtATime, ..by }).unwrap();
        let closed = (11.0 * fail.powi(2) + 4.0 * fail * repair + repair.powi(2)) / (6.0 * fail.powi(3));
        assert!(close(copies, closed, 1e-12), "{copies} {closed}");
    }
}

/// Mean time to absorption from the balance equations, by elimination: another way to the same number.
fn mttdl_by_elimination(scheme: Scheme, by: &Assumptions) -> f64 {
    let (fail, repair) = rates(by);
    let size = scheme.parity() + 1;
    let mut rows: Vec<Vec<f64>> = (0..size)
        .map(|i| {
            let up = (scheme.total() - i) as f64 * fail;
            let several = if by.pace == Pace::EachShard { i as f64 } else { 1.0 };
            let down = if i > 0 && i >= by.repair_threshold { several * repair } else { 0.0 };
            let mut row = vec![0.0; size + 1];
            (row[i], row[size]) = (up + down, 1.0);
            if i > 0 {
                row[i - 1] = -down;
            }
            if i + 1 < size {
                row[i + 1] = -up;
            }
            row
        })
        .collect();
    for pivot in 0..size {
        let top = rows[pivot].clone();
        for row in &mut rows[pivot + 1..] {
            let factor = row[pivot] / top[pivot];
            row.iter_mut().zip(&top).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut times = vec![0.0; size];
    for i in (0..size).rev() {
        let known: f64 = (i + 1..size).map(|j| rows[i][j] * times[j]).sum();
        times[i] = (rows[i][size] - known) / rows[i][i];
    }
    times[0]
}

#[test]
fn the_recurrence_solves_the_balance_equations() {
    for (k, m) in [(1, 1), (4, 2), (6, 3), (10, 4)] {
        for repair_threshold in 1..=m {
            for pace in [Pace::EachShard, Pace::OneAtATime] {
                let by = Assumptions { repair_threshold, pace, detection_hours: 100.0, ..assume(0.6, 900.0) };
                let (a, b) = (mttdl_years(scheme(k, m), &by).unwrap(), mttdl_by_elimination(scheme(k, m), &by));
                assert!(close(a, b, 1e-9), "{k}+{m} {by:?}: {a} {b}");
            }
        }
    }
}

/// Plays the chain with dice.
#[test]
fn the_mean_time_is_that_of_many_lives() {
    let by = Assumptions { repair_threshold: 2, ..assume(0.8, 1_500.0) };
    let (scheme, (fail, repair)) = (scheme(3, 3), rates(&by));
    let mut random = SplitMix64(7);
    let mut unit = || -> f64 { (random.next() >> 11) as f64 / (1u64 << 53) as f64 };
    let lives = 20_000;
    let mut years = 0.0;
    for _ in 0..lives {
        let mut missing = 0;
        while missing <= scheme.parity() {
            let up = (scheme.total() - missing) as f64 * fail;
            let down = if missing >= 2 { missing as f64 * repair } else { 0.0 };
            years -= (1.0 - unit()).ln() / (up + down);
            if unit() * (up + down) < up { missing += 1 } else { missing -= 1 }
        }
    }
    let mean = years / f64::from(lives);
    assert!(close(mean, mttdl_years(scheme, &by).unwrap(), 0.03), "{mean}");
}

#[test]
fn the_binomial_model_matches_numbers_by_hand() {
    // One disk: the annual failure rate itself, however the year is cut.
    for hours in [1.0, 24.0, 10_000.0] {
        assert!(close(binomial(scheme(1, 0), &assume(0.25, hours)).unwrap().probability(), 0.25, 1e-12));
    }
    // A mirror: both fail in one of the windows.
    let by = assume(0.1, 24.0);
    let p: f64 = 1.0 - (1.0f64 - 0.1).powf(24.0 / YEAR_HOURS);
    let hand = 1.0 - (1.0 - p * p).powf(YEAR_HOURS / 24.0);
    assert!(close(binomial(scheme(1, 1), &by).unwrap().probability(), hand, 1e-6));
    // Three of six in one window of a year: the rest of the binomial distribution with p = 1/2 is 42/64.
    let year = binomial(scheme(4, 2), &assume(0.5, YEAR_HOURS)).unwrap().probability();
    assert!(close(year, 42.0 / 64.0, 1e-12), "{year}");
}

/// Where failures are rare the chain loses `m + 1` times as often as the windows, which miss what straddles them.
#[test]
fn the_two_models_differ_by_the_known_factor() {
    for (k, m) in [(1, 1), (1, 2), (4, 2), (10, 4), (20, 6), (200, 56)] {
        let by = assume(0.001, 0.1);
        let ratio = (markov(scheme(k, m), &by).unwrap().ln - binomial(scheme(k, m), &by).unwrap().ln).exp();
        assert!(close(ratio, m as f64 + 1.0, 1e-3), "{k}+{m}: {ratio}");
    }
}

#[test]
fn tiny_and_certain_losses_keep_their_digits() {
    let tiny = markov(scheme(100, 100), &assume(0.001, 0.01)).unwrap();
    assert!(tiny.nines() > 500.0 && tiny.nines().is_finite() && tiny.probability() == 0.0);
    assert_eq!(mttdl_years(scheme(100, 100), &assume(0.001, 0.01)).unwrap(), f64::INFINITY);
    let never = assume(0.0, 1.0);
    for loss in [markov(Scheme::DEFAULT, &never).unwrap(), binomial(Scheme::DEFAULT, &never).unwrap()] {
        assert_eq!((loss.probability(), loss.nines(), loss.of_any(u64::MAX).probability()), (0.0, f64::INFINITY, 0.0));
    }
    let sure = binomial(scheme(200, 0), &assume(0.999_999, 1e9)).unwrap();
    assert_eq!((sure.probability(), sure.nines()), (1.0, 0.0));
    let loss = markov(Scheme::DEFAULT, &assume(0.02, 24.0)).unwrap();
    assert!(close(loss.of_any(1_000_000).probability(), 1e6 * loss.probability(), 1e-9));
    assert!(close(loss.of_any(1000).nines(), loss.nines() - 3.0, 1e-9));
    assert_eq!((loss.of_any(0).probability(), sure.of_any(5).probability()), (0.0, 1.0));
}

#[test]
fn time_until_repair_starts_counts_like_repair() {
    let (split, whole) = (Assumptions { detection_hours: 4.0, ..assume(0.1, 20.0) }, assume(0.1, 24.0));
    for model in [markov, binomial] {
        assert_eq!(model(Scheme::DEFAULT, &split).unwrap(), model(Scheme::DEFAULT, &whole).unwrap());
    }
}

#[test]
fn nonsense_is_refused() {
    let good = assume(0.1, 1.0);
    let bad = [
        Assumptions { node_afr: 1.0, ..good },
        Assumptions { node_afr: -0.1, ..good },
        Assumptions { node_afr: f64::NAN, ..good },
        Assumptions { repair_hours: 0.0, ..good },
        Assumptions { repair_hours: f64::INFINITY, ..good },
        Assumptions { repair_hours: f64::NAN, ..good },
        Assumptions { detection_hours: -1.0, ..good },
        Assumptions { detection_hours: f64::NAN, ..good },
        Assumptions { repair_threshold: 0, ..good },
        Assumptions { repair_threshold: 5, ..good },
    ];
    for by in bad {
        for answer in [markov(Scheme::DEFAULT, &by), binomial(Scheme::DEFAULT, &by)] {
            assert_eq!(answer.unwrap_err().kind(), crate::ErrorKind::Invalid, "{by:?}");
        }
    }
    assert!(markov(scheme(3, 0), &good).is_ok());
}

fn any_assumptions() -> impl Strategy<Value = Assumptions> {
    let pace = prop_oneof![Just(Pace::EachShard), Just(Pace::OneAtATime)];
    (1e-6..0.999f64, -3.0..6.0f64, -3.0..4.0f64, 1usize..4, pace).prop_map(|(node_afr, repair, detection, repair_threshold, pace)| {
        let (repair_hours, detection_hours) = (10f64.powf(repair), 10f64.powf(detection));
        Assumptions { node_afr, repair_hours, detection_hours, repair_threshold, pace }
    })
}

proptest! {
    #[test]
    fn worse_assumptions_never_look_better(by in any_assumptions(), k in 1usize..60, extra in 0usize..30, factor in 1.0..10.0f64) {
        let m = by.repair_threshold + extra;
        let both = |scheme: Scheme, by: Assumptions| [markov(scheme, &by).unwrap().ln, binomial(scheme, &by).unwrap().ln];
        let here = both(scheme(k, m), by);
        let same = |a: f64, b: f64| a <= b + 1e-9 * b.abs().max(1e-3);
        prop_assert!(here.iter().all(|ln| !ln.is_nan() && *ln <= 0.0));
        let worse = [
            ("slower repair", both(scheme(k, m), Assumptions { repair_hours: by.repair_hours * factor, ..by })),
            ("later repair", both(scheme(k, m), Assumptions { detection_hours: by.detection_hours * factor, ..by })),
            ("more failures", both(scheme(k, m), Assumptions { node_afr: 1.0 - (1.0 - by.node_afr) / factor, ..by })),
            ("more data shards", both(scheme(k + 1, m), by)),
            ("serial repair", both(scheme(k, m), Assumptions { pace: Pace::OneAtATime, ..by })),
        ];
        for (what, there) in worse {
            prop_assert!(same(here[0], there[0]) && same(here[1], there[1]), "{what}: {here:?} {there:?}");
        }
        let better = both(scheme(k, m + 1), by);
        prop_assert!(same(better[0], here[0]) && same(better[1], here[1]), "more parity: {here:?} {better:?}");
        if by.repair_threshold < m {
            let lazy = both(scheme(k, m), Assumptions { repair_threshold: by.repair_threshold + 1, ..by });
            prop_assert!(same(here[0], lazy[0]) && same(here[1], lazy[1]), "lazier repair: {here:?} {lazy:?}");
        }
        // Nor worse than if nobody repairs at all.
        let years: f64 = (k..=k + m).map(|left| 1.0 / (left as f64 * by.failures_per_year())).sum();
        prop_assert!(mttdl_years(scheme(k, m), &by).unwrap() >= years * (1.0 - 1e-9));
    }
}

fn cell(scheme: Scheme, by: &Assumptions) -> String {
    let text = |loss: AnnualLoss| format!("{:.1e}", loss.probability());
    format!("{} ({})", text(markov(scheme, by).unwrap()), text(binomial(scheme, by).unwrap()))
}

fn scheme_table() -> String {
    let mut lines = vec!["| Scheme | Stored | Repair | 2 % a year | 10 % | 50 % |".to_string(), "|---|---|---|---|---|---|".into()];
    for (k, m) in [(10, 4), (4, 2), (6, 3), (1, 2), (20, 6)] {
        for hours in [1.0, 24.0] {
            let scheme = scheme(k, m);
            let stored = scheme.total() as f64 / scheme.data() as f64;
            let cells = [0.02, 0.1, 0.5].map(|afr| cell(scheme, &assume(afr, hours)));
            let name = if k == 1 { format!("{scheme}, {} copies", m + 1) } else { scheme.to_string() };
            lines.push(format!("| {name} | {stored:.1}x | {hours} h | {} |", cells.join(" | ")));
        }
    }
    lines.join("\n")
}

fn threshold_table() -> String {
    let mut lines = vec!["| 10+4 repaired from | 1 h | 24 h |".to_string(), "|---|---|---|".into()];
    for repair_threshold in 1..=4 {
        let cells = [1.0, 24.0].map(|hours| cell(Scheme::DEFAULT, &Assumptions { repair_threshold, ..assume(0.1, hours) }));
        lines.push(format!("| {} of 14 left | {} |", 14 - repair_threshold, cells.join(" | ")));
    }
    lines.join("\n")
}

#[test]
fn the_page_shows_what_the_code_computes() {
    let page = include_str!("../../../docs/durability.md");
    assert_section("docs/durability.md", page, "schemes", &scheme_table());
    assert_section("docs/durability.md", page, "thresholds", &threshold_table());
}
