// AWS SDK for JavaScript v3 against the endpoint. Settings as in common.py; prints one line per check.
import assert from "node:assert/strict";
import { createCipheriv, createHash } from "node:crypto";
import http from "node:http";
import { Readable } from "node:stream";
import { createRequire } from "node:module";
import path from "node:path";

const env = (name) => process.env[`S3C_${name}`] ?? (console.log(`FAIL js setting S3C_${name} is missing`), process.exit(1));
// The packages live in the work folder, next to which this file does not stand.
const load = createRequire(path.join(env("WORK_DIR"), "package.json"));
const s3m = load("@aws-sdk/client-s3");
const { Upload } = load("@aws-sdk/lib-storage");
const { getSignedUrl } = load("@aws-sdk/s3-request-presigner");

const MIB = 1 << 20;
const SIZES = [0, 1, 9, 10, 11, 4095, 16384, 419455, 419456, 419457, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 40 * MIB];
const endpoint = env("ENDPOINT").replace(/\/$/, "");
let passed = 0, failed = 0;
const started = Date.now();

async function check(title, body) {
  const start = Date.now();
  try {
    await body();
    passed++;
    const took = Date.now() - start;
    console.log(`ok  js ${title}${took >= 1000 ? ` (${(took / 1000).toFixed(1)} s)` : ""}`);
  } catch (e) {
    failed++;
    console.log(`FAIL js ${title}: ${String(e?.name && e.name !== "Error" ? `${e.name}: ${e.message}` : e).replace(/\s+/g, " ").slice(0, 600)}`);
  }
}

function client({ where = "", access = env("ACCESS_KEY"), secret = env("SECRET_KEY"), ...more } = {}) {
  return new s3m.S3Client({ endpoint: endpoint + where, region: env("REGION"), forcePathStyle: true, maxAttempts: Number(env("ATTEMPTS")),
    credentials: { accessKeyId: access, secretAccessKey: secret }, ...more });
}

const s3 = client(), second = client({ access: env("SECOND_ACCESS_KEY"), secret: env("SECOND_SECRET_KEY") });
const send = (name, input, on = s3) => on.send(new s3m[`${name}Command`](input));

/** Always the same bytes for one seed and size. */
function payload(seed, size) {
  const cipher = createCipheriv("aes-256-ctr", createHash("sha256").update(seed).digest(), Buffer.alloc(16));
  return Buffer.concat([cipher.update(Buffer.alloc(size)), cipher.final()]);
}

const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const same = (got, want) => { assert.equal(got.length, want.length, "length"); assert.equal(sha256(got), sha256(want), "SHA-256"); };
const bytes = async (answer) => Buffer.from(await answer.Body.transformToByteArray());
const get = async (Key, input = {}, on = s3) => bytes(await send("GetObject", { Bucket: bucket, Key, ...input }, on));
const name = (what) => `s3c-${what}-${createHash("md5").update(String(Math.random())).digest("hex").slice(0, 10)}`;
const stream = (data, piece = 100_000) => Readable.from((function* () { for (let i = 0; i < data.length; i += piece) yield data.subarray(i, i + piece); })());

async function refused(status, codes, call) {
  let answer;
  try { answer = await call(); } catch (e) {
    assert.equal(e.$metadata?.httpStatusCode, status, `status of ${e.name}: ${e.message}`);
    assert.ok(!codes || codes.split("|").includes(e.name), `error ${e.name}, want ${codes}`);
    return;
  }
  assert.fail(`accepted (${answer?.$metadata?.httpStatusCode}), want ${status} ${codes}`);
}

function fetchUrl(method, url, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers: body ? { "Content-Length": body.length } : {} }, (r) => {
      const parts = [];
      r.on("data", (d) => parts.push(d)).on("end", () => resolve({ status: r.statusCode, headers: r.headers, body: Buffer.concat(parts) }));
    });
    request.on("error", reject).setTimeout(60_000, () => request.destroy(new Error("timeout")));
    request.end(body);
  });
}

const ODD = ["odd/a b+c%48é🙂&#?.txt", "odd/quote's \"two\"", "odd/<tag>;=@,~", "/leading", "double//slash", "trailing/", "odd/new\nline", "odd/return\rtab\t", "k".repeat(1024)];
const ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];
const bucket = name("js");

async function objects() {
  await check("buckets: create, head, list, location", async () => {
    await send("CreateBucket", { Bucket: bucket });
    await send("HeadBucket", { Bucket: bucket });
    assert.ok((await send("ListBuckets", {})).Buckets.some((b) => b.Name === bucket));
    assert.ok([undefined, "", "us-east-1"].includes((await send("GetBucketLocation", { Bucket: bucket })).LocationConstraint));
  });
  for (const size of SIZES) {
    await check(`object of ${size} bytes: put, get, head`, async () => {
      const body = payload("js", size);
      const { ETag } = await send("PutObject", { Bucket: bucket, Key: "sized", Body: body });
      assert.equal(ETag, `"${createHash("md5").update(body).digest("hex")}"`);
      same(await get("sized"), body);
      const head = await send("HeadObject", { Bucket: bucket, Key: "sized" });
      assert.deepEqual([head.ContentLength, head.ETag], [size, ETag]);
    });
  }
  for (const size of [1, 65536, 5 * MIB + 3]) {
    await check(`stream of ${size} bytes with known length: aws-chunked with a trailer`, async () => {
      const body = payload("js-stream", size), own = client(), sent = [];
      own.middlewareStack.add((next) => (args) => (sent.push(args.request.headers), next(args)), { step: "finalizeRequest", priority: "low" });
      await send("PutObject", { Bucket: bucket, Key: "streamed", Body: stream(body), ContentLength: size }, own);
      assert.equal(sent[0]["x-amz-content-sha256"], "STREAMING-UNSIGNED-PAYLOAD-TRAILER", JSON.stringify(sent));
      same(await get("streamed"), body);
      assert.equal((await send("HeadObject", { Bucket: bucket, Key: "streamed" })).ContentEncoding, undefined);
    });
  }
  await check("checksums: every algorithm, of a buffer (header) and of a stream (trailer), echoed by HEAD", async () => {
    for (const ChecksumAlgorithm of ALGORITHMS) {
      const body = payload("js-sum", 300_000), seen = [];
      for (const [Key, Body] of [["sum-buffer", body], ["sum-stream", stream(body)]]) {
        await send("PutObject", { Bucket: bucket, Key, Body, ContentLength: body.length, ChecksumAlgorithm });
        seen.push((await send("HeadObject", { Bucket: bucket, Key, ChecksumMode: "ENABLED" }))[`Checksum${ChecksumAlgorithm}`]);
        same(await get(Key, { ChecksumMode: "ENABLED" }), body);
      }
      assert.ok(seen[0] && seen[0] === seen[1], `${ChecksumAlgorithm}: ${seen}`);
    }
  });
  await check("checksum that does not match -> BadDigest, old object intact", async () => {
    await send("PutObject", { Bucket: bucket, Key: "kept", Body: "kept" });
    await refused(400, "BadDigest", () => send("PutObject", { Bucket: bucket, Key: "kept", Body: "changed", ChecksumSHA256: createHash("sha256").update("x").digest("base64") }));
    same(await get("kept"), Buffer.from("kept"));
  });
  await check("ranges: start, suffix, across 4 MiB and 419456, beyond the end", async () => {
    const body = payload("js", 40 * MIB);
    for (const [range, from, to] of [["0-9", 0, 10], ["-7", body.length - 7, body.length], [`${4 * MIB - 2}-${4 * MIB + 1}`, 4 * MIB - 2, 4 * MIB + 2], ["419455-419456", 419455, 419457]])
      same(await get("sized", { Range: `bytes=${range}` }), body.subarray(from, to));
    await refused(416, "InvalidRange", () => get("sized", { Range: `bytes=${body.length}-` }));
  });
  await check("headers and metadata", async () => {
    const input = { ContentType: "text/x-test", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "gzip", ContentLanguage: "de", Metadata: { color: "blue" } };
    await send("PutObject", { Bucket: bucket, Key: "meta", Body: "x", ...input });
    const head = await send("HeadObject", { Bucket: bucket, Key: "meta" });
    assert.deepEqual(Object.fromEntries(Object.keys(input).map((k) => [k, head[k]])), input);
  });
  await check("conditions: If-Match, If-None-Match on GET and PUT", async () => {
    const { ETag } = await send("HeadObject", { Bucket: bucket, Key: "kept" });
    await refused(304, null, () => get("kept", { IfNoneMatch: ETag }));
    await refused(412, "PreconditionFailed", () => get("kept", { IfMatch: '"0"' }));
    await refused(412, "PreconditionFailed", () => send("PutObject", { Bucket: bucket, Key: "kept", Body: "changed", IfNoneMatch: "*" }));
    await send("PutObject", { Bucket: bucket, Key: "kept", Body: "kept 2", IfMatch: ETag });
    same(await get("kept"), Buffer.from("kept 2"));
  });
  await check("errors: NoSuchKey, NotFound, NoSuchBucket, BucketNotEmpty", async () => {
    await refused(404, "NoSuchKey", () => get("missing"));
    await refused(404, "NotFound", () => send("HeadObject", { Bucket: bucket, Key: "missing" }));
    await refused(404, "NoSuchBucket", () => send("ListObjectsV2", { Bucket: name("missing") }));
    await refused(409, "BucketNotEmpty", () => send("DeleteBucket", { Bucket: bucket }));
  });
  await check("the second account: AccessDenied, sees only its own", async () => {
    await refused(403, "AccessDenied", () => get("kept", {}, second));
    await refused(403, "AccessDenied", () => send("PutObject", { Bucket: bucket, Key: "planted", Body: "x" }, second));
    await refused(403, "AccessDenied", () => send("PutObject", { Bucket: bucket, Key: "planted", Body: stream(payload("js", 200_000)), ContentLength: 200_000 }, second));
    assert.ok(!(await send("ListBuckets", {}, second)).Buckets?.some((b) => b.Name === bucket));
  });
}

async function keysAndLists() {
  await check("odd keys: put, get, list v1 and v2 as plain XML, copy, delete many", async () => {
    for (const Key of ODD) {
      await send("PutObject", { Bucket: bucket, Key, Body: Key });
      same(await get(Key), Buffer.from(Key));
      await send("CopyObject", { Bucket: bucket, Key: "copied", CopySource: encodeURIComponent(`${bucket}/${Key}`) });
      same(await get("copied"), Buffer.from(Key));
    }
    const want = [...ODD].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const listing of ["ListObjects", "ListObjectsV2"])
      assert.deepEqual((await send(listing, { Bucket: bucket })).Contents.map((o) => o.Key).filter((k) => ODD.includes(k)), want, listing);
    const gone = await send("DeleteObjects", { Bucket: bucket, Delete: { Objects: ODD.map((Key) => ({ Key })) } });
    assert.deepEqual([gone.Errors ?? [], gone.Deleted.length], [[], ODD.length]);
    assert.ok(!(await send("ListObjectsV2", { Bucket: bucket })).Contents.some((o) => ODD.includes(o.Key)));
  });
  await check("listing: prefix, delimiter, pages of 3", async () => {
    const names = ["l/a", "l/b/1", "l/b/2", "l/c", "l/d/1", "l/e", "l/f"];
    for (const Key of names) await send("PutObject", { Bucket: bucket, Key, Body: "" });
    const entries = [];
    for await (const page of s3m.paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket: bucket, Prefix: "l/", Delimiter: "/" })) {
      assert.ok(page.KeyCount <= 3);
      entries.push(...(page.Contents ?? []).map((o) => o.Key), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix));
    }
    assert.deepEqual(entries.sort(), ["l/a", "l/b/", "l/c", "l/d/", "l/e", "l/f"]);
  });
}

async function multipart() {
  for (const [title, body] of [["a buffer", (d) => d], ["a stream of unknown length", (d) => stream(d)]]) {
    await check(`lib-storage Upload of 40 MiB from ${title}, parts of 8 MiB`, async () => {
      const data = payload("js-upload", 40 * MIB);
      const done = await new Upload({ client: s3, params: { Bucket: bucket, Key: "upload", Body: body(data) }, partSize: 8 * MIB, queueSize: 3 }).done();
      assert.match(done.ETag, /-5"$/);
      same(await get("upload"), data);
    });
  }
  await check("multipart by hand: list parts and uploads, part copy, complete, abort", async () => {
    const Key = "hand", at = { Bucket: bucket, Key, UploadId: (await send("CreateMultipartUpload", { Bucket: bucket, Key })).UploadId };
    assert.deepEqual((await send("ListParts", at)).Parts ?? [], []);
    const body = payload("js-part", 5 * MIB);
    const first = await send("UploadPart", { ...at, PartNumber: 1, Body: body });
    const copied = await send("UploadPartCopy", { ...at, PartNumber: 2, CopySource: `${bucket}/upload`, CopySourceRange: "bytes=1-1000" });
    assert.equal((await send("ListParts", at)).Parts.length, 2);
    assert.ok((await send("ListMultipartUploads", { Bucket: bucket, Prefix: "ha" })).Uploads.some((u) => u.UploadId === at.UploadId));
    const parts = [{ PartNumber: 1, ETag: first.ETag }, { PartNumber: 2, ETag: copied.CopyPartResult.ETag }];
    await refused(400, "InvalidPart", () => send("CompleteMultipartUpload", { ...at, MultipartUpload: { Parts: [{ PartNumber: 1, ETag: '"0"' }] } }));
    await send("CompleteMultipartUpload", { ...at, MultipartUpload: { Parts: parts } });
    same(await get(Key), Buffer.concat([body, (await get("upload")).subarray(1, 1001)]));
    const other = { Bucket: bucket, Key, UploadId: (await send("CreateMultipartUpload", { Bucket: bucket, Key })).UploadId };
    await send("AbortMultipartUpload", other);
    await refused(404, "NoSuchUpload", () => send("ListParts", other));
  });
}

async function presigned(on, at) {
  await check(`presigned PUT and GET at ${at}`, async () => {
    const Key = "url é+%48", body = payload("js-url", MIB), input = { Bucket: bucket, Key };
    assert.equal((await fetchUrl("PUT", await getSignedUrl(on, new s3m.PutObjectCommand(input), { expiresIn: 60 }), body)).status, 200);
    const answer = await fetchUrl("GET", await getSignedUrl(on, new s3m.GetObjectCommand({ ...input, ResponseContentType: "text/weird" }), { expiresIn: 60 }));
    assert.deepEqual([answer.status, answer.headers["content-type"]], [200, "text/weird"]);
    same(answer.body, body);
  });
}

async function below() {
  const on = client({ where: "/s3" });
  await check("below /s3: put, get, list, stream, copy, multipart", async () => {
    const body = payload("js-below", 12 * MIB);
    for (const [Key, Body] of [["below/a b+é%48", body.subarray(0, 1000)], ["below/stream", stream(body)]]) {
      await send("PutObject", { Bucket: bucket, Key, Body, ContentLength: Key.endsWith("stream") ? body.length : undefined }, on);
      same(await get(Key), await get(Key, {}, on));
    }
    await send("CopyObject", { Bucket: bucket, Key: "below/copy", CopySource: `${bucket}/below/stream` }, on);
    await new Upload({ client: on, params: { Bucket: bucket, Key: "below/upload", Body: body }, partSize: 5 * MIB }).done();
    for (const Key of ["below/stream", "below/copy", "below/upload"]) same(await get(Key, {}, on), body);
    assert.equal((await send("ListObjectsV2", { Bucket: bucket, Prefix: "below/" }, on)).KeyCount, 4);
    assert.ok((await send("ListBuckets", {}, on)).Buckets.some((b) => b.Name === bucket));
  });
  await presigned(on, "/s3");
}

await objects();
await keysAndLists();
await multipart();
await presigned(s3, "/");
await below();
await check("delete everything", async () => {
  const found = (await send("ListObjectsV2", { Bucket: bucket })).Contents.map(({ Key }) => ({ Key }));
  assert.deepEqual((await send("DeleteObjects", { Bucket: bucket, Delete: { Objects: found, Quiet: true } })).Errors ?? [], []);
  await send("DeleteBucket", { Bucket: bucket });
});
console.log(`--  js: ${passed} ok, ${failed} failed, ${Math.round((Date.now() - started) / 1000)} s`);
process.exit(failed || !passed ? 1 : 0);
