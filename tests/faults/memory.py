"""How much memory the process ever had resident for a PUT and a GET of 1 GiB, single and multipart."""

import hashlib
import tempfile

from boto3.s3.transfer import TransferConfig

from dev import Dev, arguments, body, check

LIMIT_MIB = 300
GIB = 1 << 30


def main():
    args = arguments()
    dev = Dev(args.binary)
    s3 = dev.s3()
    s3.create_bucket(Bucket="bucket")
    with tempfile.TemporaryFile(dir=dev.data_dir) as file:
        # 61 MiB repeated: no two chunks are alike, and making it is quick.
        piece, digest = body(1, 61 << 20), hashlib.sha256()
        for at in range(0, GIB, len(piece)):
            part = piece[:GIB - at]
            file.write(part)
            digest.update(part)

        def read_back(key):
            got = hashlib.sha256()
            for part in s3.get_object(Bucket="bucket", Key=key)["Body"].iter_chunks(1 << 20):
                got.update(part)
            return got.hexdigest() == digest.hexdigest()

        file.seek(0)
        s3.put_object(Bucket="bucket", Key="single", Body=file)
        print(f"most resident after the PUT of 1 GiB: {dev.status_kib('VmHWM') >> 10} MiB", flush=True)
        check(read_back("single"), "GET of 1 GiB returns what was put")
        print(f"most resident after the GET of 1 GiB: {dev.status_kib('VmHWM') >> 10} MiB", flush=True)
        file.seek(0)
        s3.upload_fileobj(file, "bucket", "multipart", Config=TransferConfig(multipart_chunksize=16 << 20, max_concurrency=4))
        check(read_back("multipart"), "GET of a multipart 1 GiB returns what was put")
    most = dev.status_kib("VmHWM") >> 10
    check(most < LIMIT_MIB, f"most resident for all of it: {most} MiB, below {LIMIT_MIB} MiB")
    dev.close()


main()
