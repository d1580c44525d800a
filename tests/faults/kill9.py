"""kill -9 in the middle of writes: every acked object reads back, nothing is half visible, and no orphan remains after gc."""

import random
import time

from botocore.exceptions import BotoCoreError, ClientError

from dev import Dev, arguments, body, check
from load import Writer, abort_uploads, listed, read, settle

WRITERS = 6


class UntilGone(Writer):
    """Writes until its server is gone."""

    unexpected = None

    def run(self):
        try:
            while True:
                self.write()
        except BotoCoreError:
            pass
        except ClientError as error:
            self.unexpected = error


def no_orphans(dev, round_number):
    """After gc the shard files are exactly the copies that the metadata name."""
    done = dev.command("dev-gc")
    files, placed = len(dev.shard_files()), sum(node["shards"] for node in dev.health()["nodes"])
    if files != placed or done["chunks_left"]:
        check(False, f"round {round_number}: {files} shard files but {placed} in the metadata after {done}")
    return done


def main():
    args = arguments(rounds=50)
    rng = random.Random(args.seed)
    dev = Dev(args.binary, "--gc-grace-ms", "0")
    bucket = "kill9"
    dev.s3().create_bucket(Bucket=bucket)
    truth, acked, orphans = {}, 0, 0
    for number in range(args.rounds):
        writers = [UntilGone(dev.s3(), bucket, f"w{n}", rng.getrandbits(32)) for n in range(WRITERS)]
        for n, writer in enumerate(writers):
            writer.acked = {key: what for key, what in truth.items() if key.startswith(f"w{n}/")}
            writer.start()
        time.sleep(rng.uniform(0.02, 1.2))
        dev.kill()
        for writer in writers:
            writer.join()
            if writer.unexpected:
                check(False, f"round {number}: a write was refused: {writer.unexpected}")
        dev.start()
        s3 = dev.s3()
        truth = {}
        for writer in writers:
            writer.s3 = s3
            truth.update(settle(writer))
        acked += sum(len(w.acked) for w in writers)
        wrong = listed(s3, bucket) ^ {key for key, what in truth.items() if what}
        if wrong:
            check(False, f"round {number}: the list is wrong about {wrong}")
        abort_uploads(s3, bucket)
        orphans += no_orphans(dev, number)["orphans"]
    check(True, f"{args.rounds} rounds of kill -9: {acked} acked keys read back, none half visible, {orphans} orphans collected, none left")
    check(orphans > 0, "the kills hit writes in flight (there were orphans to collect)")
    check(dev.interrupt() == 0, "Ctrl-C stops it cleanly")
    dev.start()
    s3 = dev.s3()
    check(all(read(s3, bucket, k) == (None if w is None else body(*w)) for k, w in truth.items()), "a restart finds everything")
    dev.close()


main()
