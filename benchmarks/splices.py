"""Damaged files made by knowing the format: ``python -m benchmarks.splices [READER...] --count 2000 --seed 1``.

`benchmarks.insults` overwrites bytes; here chunks, tags and directories are moved, counts and offsets contradict each
other, heads stand on bodies of other files, values in metadata have other types. Each file is opened as a user would:
facts, statistics over all pixels, planes. A fault is: an exception that is none of Ruska's, a crash, more than
`SECONDS`, more than `MEMORY`, a file left behind anywhere, a file left open, words printed that were not asked for, and
an error of several lines or one that does not name the file. ``--only SEED`` does one file again, and keeps it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tests.conftest import DATA
from tests.io.specimens import Specimen

from benchmarks.insults import peak_memory, watched
from benchmarks.splicing.readers import READERS
from ruska.errors import OutputError, RuskaError
from ruska.image import Image
from ruska.io import metadata, read, write
from ruska.scratch import remove

SECONDS = 10.0
MEMORY = 1 << 30
"""Bytes that opening a small damaged file may take over what the process holds."""

SPACE = 3 << 30
"""Bytes of addresses that a worker may have."""

PROMISE = 1 << 28
"""Bytes of pixels above which only corners are looked at: a store may claim any size, and most of it be empty."""

LINGER = 5.0
"""Seconds in which threads of a library may end what they had begun when another chunk was found damaged."""

PATIENCE = 60.0
"""Seconds of silence after which a worker is ended: seconds of its processor count for `SECONDS`."""

SUFFIXES = ("",) * 9 + (".tif", ".ome.tif", ".mrc", ".h5", ".npz", ".ome.zarr")
"""As what some of the images are written again."""

FAULTS = ("traceback", "crash", "hang", "memory", "promise", "left files", "left open", "printed", "message")


def attempt(target: Path, sparse: bool, suffix: str = "") -> tuple[str, str]:
    """Use ``target`` as a user would, and write it as ``suffix`` where one is given: what came of it, and why."""
    try:
        return use(target, sparse, suffix)
    except RuskaError as error:
        return _judged(error, target)
    except MemoryError:
        return "memory", traceback.format_exc()[-1500:]
    except Exception:
        return "traceback", traceback.format_exc()[-1800:]


def use(target: Path, sparse: bool, suffix: str) -> tuple[str, str]:
    """Facts, statistics, planes, and what would be written beside the pixels."""
    from ruska.engine import ArraySource, measure_intensities

    image = read(target)
    metadata.dumps(image)
    facts = image.shape, image.axes, str(image.dtype), image.name, image.nbytes, *image.notes
    if any(_odd(str(note)) for note in image.notes):
        return "message", f"note {image.notes!r}"
    corner = tuple(slice(0, min(n, 4)) for n in image.shape)
    image.data[corner], image.data[tuple(slice(max(0, n - 4), n) for n in image.shape)]
    if image.nbytes >= PROMISE:
        return ("image" if sparse else "promise"), f"{facts}"
    measure_intensities(ArraySource(image.data, image.axes), image.name)
    for place in (0, -1):
        image.data[(place,) * (len(image.shape) - 2)]
    image.numpy()
    if suffix:
        write_and_read(image, Path(tempfile.gettempdir()) / f"out{suffix}")
    return "image", ""


def write_and_read(image: Image, out: Path) -> None:
    """Write what was read, with the header that a damaged file gave it; a format may say that it cannot hold it."""
    try:
        write(out, image)
        read(out).numpy()
    except OutputError:
        pass
    except RuskaError as error:
        raise AssertionError(f"what was written cannot be read: {error}") from error
    finally:
        remove(out)


def _judged(error: RuskaError, target: Path) -> tuple[str, str]:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory", str(error)
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    named = target.name.split(":")[0] in text or ascii(target.name)[1:-1] in text
    if not named or _odd(text) or len(text) > 4000:
        return "message", f"{'' if named else 'names no file: '}{text[:800]!r}"
    return ("foreign" if "open it in Fiji and save it anew" in error.fix else "refused"), text


def _odd(text: str) -> bool:
    """Whether a text would be more than a line, or do something to a terminal."""
    return any(not c.isprintable() for c in text)


class Watch:
    """What lies about before and after: files in the folders around, open files, printed words."""

    def __init__(self, root: Path, here: Path, printed: IO[bytes]) -> None:
        self.root, self.here, self.printed = root, here, printed
        self.files, self.open = self._files(), _open_files()
        self.at = os.fstat(printed.fileno()).st_size

    def _files(self) -> set[str]:
        return {str(p) for folder in ("cwd", "tmp") for p in (self.root / folder).rglob("*")} | {
            str(p) for p in _walk(self.here)
        }

    def faults(self) -> Iterator[tuple[str, str]]:
        gc.collect()
        until = time.monotonic() + LINGER
        while _open_files() - self.open and time.monotonic() < until:
            time.sleep(0.02)
        if more := self._files() - self.files:
            yield "left files", ", ".join(sorted(more))
        if more := _open_files() - self.open:
            yield "left open", ", ".join(sorted(more))
        size = os.fstat(self.printed.fileno()).st_size
        if size > self.at:
            self.printed.seek(self.at)
            yield "printed", self.printed.read(1000).decode("utf-8", "replace")


def _walk(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        yield from (Path(at) / name for name in (*folders, *files))


def _open_files() -> set[str]:
    """Names of what this process holds open, where the system tells."""
    found = set()
    if os.path.isdir("/proc/self/fd"):
        for number in os.listdir("/proc/self/fd"):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if not name.startswith(("/proc/", "anon_inode", "pipe:", "socket:", "/dev/")):
                found.add(f"{number} {name}")
    return found


def work(root: Path, reader: str, first: int, last: int, salt: int) -> None:
    """Damage and use specimens below ``root``, a line of JSON before and after each."""
    specimens = [Specimen(**one) for one in json.loads((root / "specimens.json").read_text())]
    for name in ("cwd", "tmp"):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir()
    os.chdir(root / "cwd")
    os.environ["TMPDIR"] = tempfile.tempdir = str(root / "tmp")
    talk = os.fdopen(os.dup(1), "w")

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=talk, flush=True)

    printed = (root / "printed").open("w+b")
    problems = os.fdopen(os.dup(2), "w")
    sys.excepthook = lambda *error: traceback.print_exception(*error, file=problems)
    for one in specimens:  # so that imports, and threads of libraries, are not counted
        outcome, why = attempt(root / "sound" / one.target, one.sparse)
        if outcome != "image":
            raise SystemExit(f"{one.target} is no sound specimen: {outcome}: {why}")
    gc.collect()
    gc.freeze()  # so that each file's garbage is found quickly
    limit_addresses()
    held = peak_memory()
    sys.stdout.flush()
    os.dup2(printed.fileno(), 1)
    os.dup2(printed.fileno(), 2)
    warnings.simplefilter("always")
    for seed in range(first, last):
        say(seed=seed)
        rng = random.Random(f"{reader} {salt} {seed}")
        one = specimens[seed % len(specimens)]
        target = damaged(root, reader, one, rng.choice(specimens), rng)
        watch = Watch(root, root / "here", printed)
        started = time.process_time()
        outcome, why = attempt(target, one.sparse, rng.choice(SUFFIXES))
        seconds, grown = time.process_time() - started, peak_memory() - held
        if outcome not in FAULTS:
            outcome, why = next(watch.faults(), (outcome, why))
        if outcome not in FAULTS and seconds > SECONDS:
            outcome, why = "hang", f"{seconds:.1f} s. {why}"
        if grown > MEMORY:
            outcome, why = "memory", f"{grown >> 20} MB. {why}"
        say(seed=seed, outcome=outcome, why=f"{one.target}: {why}", seconds=seconds)
        if grown > MEMORY // 2 or outcome == "memory":
            return


def damaged(root: Path, reader: str, one: Specimen, other: Specimen, rng: random.Random) -> Path:
    """A fresh copy of ``one`` in ``root/here``, damaged: what is to be opened."""
    here, folder = root / "here", root / "sound"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    names = {Path(part).parts[0] for part in one.parts} | {one.target.split(":")[0]}
    beside = {
        p.name for p in folder.iterdir() if p.is_file() and len(names) == 1 and p.name.startswith(_stem(one.target))
    }
    for name in names | beside:
        (shutil.copytree if (folder / name).is_dir() else shutil.copyfile)(folder / name, here / name)
    if (folder / one.target).is_dir():
        READERS[reader].damage(here / one.target, folder / other.target, rng)
    else:
        part = rng.choice(one.parts)
        donor = next((p for p in other.parts if Path(p).suffix == Path(part).suffix), part)
        READERS[reader].damage(here / part, folder / donor, rng)
    return here / one.target


def _stem(target: str) -> str:
    return target.split(".")[0].rstrip("_12")


def limit_addresses() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))


def prepare(reader: str, root: Path) -> None:
    (root / "sound").mkdir()
    specimens = READERS[reader].specimens(root / "sound", DATA / "formats")
    (root / "specimens.json").write_text(json.dumps([vars(one) for one in specimens]))


def splice(reader: str, count: int, salt: int) -> Iterator[tuple[int, str, str]]:
    """(seed, outcome, why) of ``count`` damaged files."""
    with tempfile.TemporaryDirectory(prefix="ruska-splices-", ignore_cleanup_errors=True) as name:
        prepare(reader, Path(name))
        base = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.splices", "--worker", name, reader]

        def run(first: int, last: int, patience: float) -> Iterator[tuple[int, str, str]]:
            return watched(lambda seed: [*base, str(seed), str(last), str(salt)], first, last, patience)

        for seed, outcome, why in run(0, count, PATIENCE):
            if outcome == "hang":  # or the machine stood still: once more, with more patience
                yield from run(seed, seed + 1, 4 * PATIENCE)
            else:
                yield seed, outcome, why


def again(reader: str, seed: int, salt: int) -> None:
    """Make and use one file, and keep it."""
    root = Path(tempfile.mkdtemp(prefix="ruska-splice-"))
    prepare(reader, root)
    specimens = [Specimen(**one) for one in json.loads((root / "specimens.json").read_text())]
    rng = random.Random(f"{reader} {salt} {seed}")
    one = specimens[seed % len(specimens)]
    target = damaged(root, reader, one, rng.choice(specimens), rng)
    print(target)
    print(*attempt(target, one.sparse, rng.choice(SUFFIXES)))


HEAD = "| reader | files | opened | refused | in its library's words | faults |\n" + "|---" * 6 + "|"


def row(reader: str, said: Counter[str]) -> str:
    """A line of the table."""
    faults = ", ".join(f"{said[name]} {name}" for name in FAULTS if said[name]) or "0"
    return f"| {reader} | {said.total()} | {said['image']} | {said['refused']} | {said['foreign']} | {faults} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of: {', '.join(READERS)}; default: all")
    parser.add_argument("--count", type=int, default=2000, help="damaged files of each reader")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other damage")
    parser.add_argument("--only", type=int, help="do this file again, and keep it")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        root, reader, *numbers = options.worker
        work(Path(root), reader, *(int(n) for n in numbers))
        return
    if unknown := set(options.readers) - set(READERS):
        parser.error(f"no reader is called {', '.join(unknown)}")
    if options.only is not None:
        again(options.readers[0], options.only, options.seed)
        return
    os.environ |= {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    print(HEAD)
    for reader in options.readers or READERS:
        said: Counter[str] = Counter()
        for seed, outcome, why in splice(reader, options.count, options.seed):
            said[outcome] += 1
            if outcome in FAULTS:
                print(f"{reader} {seed} {outcome}: {why}", file=sys.stderr, flush=True)
        print(row(reader, said), flush=True)


if __name__ == "__main__":
    main()
