"""Jobs: what is on the disk says what is, whoever dies; the same bytes after a kill, a cancel, and in a warm worker."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from ruska import jobs
from ruska.errors import InputError, JobBusyError, OutputError, SettingsError
from ruska.jobs import events, state, workflow
from ruska.jobs import folder as layout
from ruska.jobs.control import make
from ruska.jobs.process import Stop, work
from ruska.pipeline import Input, Request, RunOptions
from ruska.scratch import Owner

QUIET = RunOptions(report=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    np.save(tmp_path / "noisy.npy", np.random.default_rng(0).normal(100, 10, (40, 48)).astype("float32"))
    return tmp_path / "noisy.npy"


def asked(image: object, output: object = None, method: str = "gaussian", **more: Any) -> Request:
    one = Input(step=str(image)) if str(image).startswith("@") else Input(path=str(image))
    return Request(task="denoise", method=method, inputs={"image": one}, run=QUIET,
                   output=None if output is None else str(output), **more)  # fmt: skip


def run_here(job: jobs.Job) -> int:
    return work(job.folder, Stop())


# One job


def test_a_job_leaves_result_record_state_and_events(image: Path, tmp_path: Path) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    assert job.status == "queued"
    assert run_here(job) == 0
    assert job.status == "done"
    assert job.record["method"] == "gaussian"
    *told, end = jobs.watch(job)
    assert end.stage == "done"
    assert {"measuring intensities", "restoring"} <= {event.stage for event in told}
    assert np.load(tmp_path / "out.npy").shape == (40, 48)
    assert run_here(job) == 0, "what is done stays as it is"


def test_a_job_may_replace_what_is_there(image: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "out.npy", np.zeros((3, 3)))
    kept = make(asked(image, tmp_path / "out.npy"), tmp_path / "kept")
    assert run_here(kept) == OutputError.exit_code
    assert np.load(tmp_path / "out.npy").shape == (3, 3)
    request = asked(image, tmp_path / "out.npy").model_copy(update={"run": RunOptions(report=False, overwrite=True)})
    for number in range(2):
        job = make(request, tmp_path / f"job{number}")
        assert run_here(job) == 0
        assert job.status == "done"
        assert np.load(tmp_path / "out.npy").shape == (40, 48)


def test_relative_paths_start_where_the_job_was_submitted(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = make(asked("noisy.npy", "out.npy"), tmp_path / "job")
    monkeypatch.chdir(tmp_path.parent)
    assert run_here(job) == 0
    assert (tmp_path / "out.npy").exists()
    assert Path.cwd() == tmp_path.parent


def test_a_failure_is_told_with_its_kind_and_exit_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = make(asked(tmp_path / "none.npy", tmp_path / "out.npy"), tmp_path / "job")
    assert run_here(job) == InputError.exit_code
    assert (job.status, job.state.kind, job.state.exit_code) == ("failed", "InputError", InputError.exit_code)
    assert "none.npy" in str(job.state.message)
    assert "none.npy" in (job.folder / "log.txt").read_text()
    assert capfd.readouterr().err.count("\n") == 1


def test_a_job_that_is_cancelled_before_it_begins_does_nothing_and_resumes(image: Path, tmp_path: Path) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    jobs.cancel(job)
    assert run_here(job) == 130
    assert job.status == "cancelled"
    assert not (tmp_path / "out.npy").exists()
    assert run_here(job) == 0, "the wish is fulfilled and gone"


def test_limits_of_the_job_are_those_of_the_run(image: Path, tmp_path: Path) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job", workers=1, memory_bytes=3 * 10**9)
    run_here(job)
    assert job.record["plan"]["workers"] == 1
    with pytest.raises(SettingsError, match="memory_bytes"):
        make(asked(image), tmp_path / "other", memory_bytes=-1)


def test_two_processes_do_not_work_on_one_job(image: Path, tmp_path: Path) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    with layout.claimed(job.folder):
        assert run_here(job) == JobBusyError.exit_code
    assert job.status == "queued"


def test_a_full_disk_loses_events_and_nothing_else(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    log = events.EventLog(tmp_path / "no folder" / "events.jsonl")
    log.event("restoring", 0, 1)
    log.close()
    monkeypatch.setattr("ruska.jobs.process.write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    assert run_here(job) == OutputError.exit_code
    assert job.status == "failed"
    monkeypatch.undo()
    assert run_here(job) == 0, "the output is there, and is the job's own"
    assert job.status == "done"


def test_a_result_whose_job_was_killed_just_behind_it_is_taken_up(image: Path, tmp_path: Path) -> None:
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    run_here(job)
    before = (tmp_path / "out.npy").stat().st_mtime_ns
    for name in ("record.json", "steps/result.json"):
        (job.folder / name).unlink()
    assert run_here(job) == 0
    assert (tmp_path / "out.npy").stat().st_mtime_ns == before


def test_an_output_that_is_not_the_jobs_own_is_left_alone(image: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npy").write_bytes(b"mine")
    job = make(asked(image, tmp_path / "out.npy"), tmp_path / "job")
    assert [run_here(job), run_here(job)] == [OutputError.exit_code] * 2
    assert (tmp_path / "out.npy").read_bytes() == b"mine"


# State


def test_a_dead_worker_is_told(image: Path, tmp_path: Path) -> None:
    job = make(asked(image), tmp_path / "job")
    here = Owner.here()
    state.write_state(job.folder, "running", owner=here)
    assert job.status == "running"
    with pytest.raises(JobBusyError):
        jobs.resume(job)
    state.write_state(job.folder, "running", owner=Owner(here.host, here.pid, here.start + 1))
    assert job.status == "dead", "its number was given to another process"
    assert [event.stage for event in jobs.watch(job)] == ["dead"]
    state.write_state(job.folder, "running", owner=Owner("elsewhere-00000000", here.pid, 5))
    assert job.status == "running", "of another computer nothing is known"


def test_a_process_that_died_before_it_began_is_told(image: Path, tmp_path: Path) -> None:
    job = make(asked(image), tmp_path / "job")
    here = Owner.here()
    layout.write_json(job.folder / "process.json", {"owner": str(Owner(here.host, here.pid, here.start + 1))})
    assert job.status == "dead"


def test_jobs_are_listed_the_oldest_first_and_links_left_out(image: Path, tmp_path: Path) -> None:
    made = [make(asked(image), tmp_path / "root" / name) for name in "ba"]
    (tmp_path / "root" / "empty").mkdir()
    if hasattr(os, "symlink"):
        os.symlink(tmp_path / "root" / "a", tmp_path / "root" / "c")
    assert jobs.list(tmp_path / "root") == made[::-1]
    assert jobs.list(tmp_path / "none") == []


# Events


def test_of_each_stage_the_first_and_the_last_event_are_kept_and_few_between(tmp_path: Path) -> None:
    log = events.EventLog(tmp_path / "events.jsonl")
    for stage in ("a", "b"):
        for k in range(1000):
            log.event(stage, k, 5000)
    log.close()
    found, _ = events.read_events(tmp_path / "events.jsonl", 0)
    for stage in ("a", "b"):
        done = [event.done for event in found if event.stage == stage]
        assert done[0] == 0
        assert done[-1] == 999
        assert len(done) < 50


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"stage": 1}', b'{"time":0,"stage":[],"done":0,"total":1}', b"\xff"])
def test_lines_that_are_no_events_are_passed_over(tmp_path: Path, line: bytes) -> None:
    log = events.EventLog(tmp_path / "events.jsonl")
    (tmp_path / "events.jsonl").write_bytes(line + b"\n")
    log.event("a", 0, 1)
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"time": 0, "sta')
    found, offset = events.read_events(tmp_path / "events.jsonl", 0)
    assert [event.stage for event in found] == ["a"]
    assert offset < (tmp_path / "events.jsonl").stat().st_size, "what is half written is read when it is whole"


# Workflows


def chain(image: Path) -> dict[str, Request]:
    return {"smooth": asked(image), "again": asked("@smooth.mean", method="median")}


def test_a_workflow_is_run_in_order_and_resumed_at_the_step_that_is_missing(image: Path, tmp_path: Path) -> None:
    job = make(chain(image), tmp_path / "job")
    assert run_here(job) == 0
    assert list(job.record["steps"]) == ["smooth", "again"]
    assert [e.step for e in jobs.watch(job) if e.stage == "restoring" and e.done] == ["smooth", "again"]
    results = job.folder / "results"
    assert job.record["steps"]["again"]["input"]["path"] == str(results / "smooth.ome.tif")
    first = (results / "smooth.ome.tif").stat().st_mtime_ns
    (job.folder / "record.json").unlink()
    (results / "again.ome.tif").unlink()
    assert run_here(job) == 0
    assert (results / "again.ome.tif").exists()
    assert (results / "smooth.ome.tif").stat().st_mtime_ns == first


def test_a_step_is_done_again_when_one_that_it_builds_on_has_changed(image: Path) -> None:
    def key(first: Request) -> str:
        keys: dict[str, str] = {}
        for step in (workflow.Step("a", first), workflow.Step("b", asked("@a.mean"))):
            keys[step.name] = workflow.key_of(step, keys)
        return keys["b"]

    assert key(asked(image)) == key(asked(image))
    assert key(asked(image)) != key(asked(image, settings={"sigma": 3}))


def test_further_outputs_are_found_beside_or_inside_the_first(tmp_path: Path) -> None:
    made = workflow.Made({}, further=("std",))
    for output, std in (("a.ome.tif", "a_std.ome.tif"), ("a.ome.zarr", "a.ome.zarr:/std")):
        request = asked("x.npy", tmp_path / output)
        assert workflow.file_of(request, made, "mean", "s") == str(tmp_path / output)
        if output == "a.ome.zarr":
            (tmp_path / output / "std").mkdir(parents=True)
        assert workflow.file_of(request, made, "std", "s") == str(tmp_path / std)
        with pytest.raises(SettingsError, match="not an output"):
            workflow.file_of(request, made, "low", "s")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"a": "@b.mean", "b": "x.npy"}, "runs later"),
        ({"a": "@a.mean"}, "runs later"),
        ({"first": "x.npy", "b": "@fist.mean"}, "Did you mean 'first'"),
        ({"a": "x.npy", "b": "@a.std"}, "no output 'std'"),
        ({"a": "x.npy", "A": "x.npy"}, "twice"),
        ({"../a": "x.npy"}, "not a name"),
    ],
)
def test_a_workflow_that_cannot_be_run_is_refused_before_it_begins(
    tmp_path: Path, steps: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        make({name: asked(image) for name, image in steps.items()}, tmp_path / "job")
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("request_", [
    Request(task="denois", method="gaussian", inputs={"image": Input(path="a.npy")}),
    Request(task="denoise", method="gaussian", settings={"sigmaa": 1}, inputs={"image": Input(path="a.npy")}),
    Request(task="denoise", method="gaussian", inputs={"image": Input(array="a")}),
    Request(task="evaluate", inputs={"imagee": Input(path="a.npy")}),
])  # fmt: skip
def test_a_request_that_is_not_valid_is_refused_at_once(tmp_path: Path, request_: Request) -> None:
    with pytest.raises(SettingsError):
        make(request_, tmp_path / "job")


# Strangers' folders


def _truncated(folder: Path) -> None:
    (folder / "request.json").write_text('{"task": "deno')


def _huge(folder: Path) -> None:
    with (folder / "request.json").open("wb") as file:
        file.truncate(1 << 30)


def _deep(folder: Path) -> None:
    (folder / "request.json").write_text("[" * 100_000)


def _unknown(folder: Path) -> None:
    (folder / "request.json").write_text('{"task": "denoise", "inptus": {}}')


def _types(folder: Path) -> None:
    (folder / "request.json").write_text('{"task": ["denoise"], "inputs": 5}')


def _list(folder: Path) -> None:
    (folder / "request.json").write_text("[]")


def _nothing(folder: Path) -> None:
    pass


def _steps(folder: Path) -> None:
    (folder / "workflow.json").write_text('{"steps": [{"name": "a", "request": 5}]}')


def _terms(folder: Path) -> None:
    (folder / "request.json").write_text('{"task": "denoise", "inputs": {"image": {"path": "a.npy"}}}')
    (folder / "terms.json").write_text('{"workers": -1}')


@pytest.mark.parametrize("spoil", [_truncated, _huge, _deep, _unknown, _types, _list, _nothing, _steps, _terms])
def test_a_folder_that_asks_for_nothing_sensible_is_one_line_and_a_failure(
    tmp_path: Path, spoil: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job").mkdir()
    spoil(tmp_path / "job")
    code = work(tmp_path / "job", Stop())
    said = capfd.readouterr().err
    assert code in (SettingsError.exit_code, InputError.exit_code)
    assert said.count("\n") == 1
    assert len(said) < 600
    assert jobs.Job(tmp_path / "job").status == "failed"


def test_a_folder_that_is_none_or_leads_elsewhere_is_refused(tmp_path: Path, image: Path) -> None:
    assert work(tmp_path / "none", Stop()) == InputError.exit_code
    assert work(image, Stop()) == InputError.exit_code
    job = make(asked(image), tmp_path / "job")
    if not hasattr(os, "symlink"):
        return
    os.symlink(job.folder, tmp_path / "link")
    assert work(tmp_path / "link", Stop()) == InputError.exit_code
    os.symlink(tmp_path / "elsewhere", job.folder / "events.jsonl")
    assert work(job.folder, Stop()) == OutputError.exit_code
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_not_taken_from_what_is_in_it(image: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        make(asked(image), tmp_path)


# Processes


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Methods "slow" and "crash", here and in processes to come."""
    home = tmp_path / "plugin"
    (home / "plugin_methods-1.dist-info").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("plugin_methods.py"), home)
    (home / "plugin_methods-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: p\nVersion: 1\n")
    (home / "plugin_methods-1.dist-info" / "entry_points.txt").write_text(
        "[ruska.methods]\nslow = plugin_methods:SLOW\ncrash = plugin_methods:CRASH\n")  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.syspath_prepend(str(home))
    from ruska.methods import registry

    registry._elsewhere.cache_clear()
    yield
    monkeypatch.undo()
    registry._elsewhere.cache_clear()


def in_the_middle(job: jobs.Job) -> None:
    for event in jobs.watch(job):
        if event.stage == "restoring" and event.done:
            return


def test_killed_and_cancelled_jobs_resume_to_the_same_bytes_and_all_watchers_see_the_same_end(
    plugin: None, tmp_path: Path
) -> None:
    big = np.random.default_rng(0).integers(0, 255, (2048, 2048), np.uint8)
    np.save(tmp_path / "big.npy", big)
    job = jobs.submit(asked(tmp_path / "big.npy", tmp_path / "out.npy", "slow"), root=tmp_path / "root", workers=1)
    ends: list[jobs.Event] = []
    watchers = [Thread(target=lambda: ends.append(list(jobs.watch(job))[-1])) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    in_the_middle(job)
    pid = job.state.pid
    assert pid is not None
    os.kill(pid, 9)
    for watcher in watchers:
        watcher.join()
    assert [end.stage for end in ends] == ["dead", "dead"]
    in_the_middle(jobs.resume(job))
    jobs.cancel(job)
    assert job.wait().status == "cancelled"
    assert jobs.resume(job).wait().status == "done"
    assert job.record["blocks"]["resumed"] > 0
    here = make(asked(tmp_path / "big.npy", tmp_path / "once.npy", "slow"), tmp_path / "job", workers=1)
    run_here(here)
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "once.npy").read_bytes()


def test_a_warm_worker_runs_one_job_after_the_other_in_one_process_and_outlives_a_crash(
    plugin: None, image: Path, tmp_path: Path
) -> None:
    with jobs.Worker() as worker:
        first, crash, broken, last = [
            worker.submit(request, root=tmp_path / "root")
            for request in (
                asked(image, tmp_path / "1.npy"),
                asked(image, tmp_path / "2.npy", "crash"),
                asked(tmp_path / "none.npy", tmp_path / "3.npy"),
                asked(image, tmp_path / "4.npy"),
            )
        ]
        assert [job.wait().status for job in (first, crash, broken, last)] == ["done", "dead", "failed", "done"]
        process = worker._process
    assert process is not None
    assert process.poll() is not None, "it ends with the worker"
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "4.npy").read_bytes()
    with pytest.raises(SettingsError, match="closed"):
        worker.submit(asked(image))


def test_the_network_is_kept_until_the_files_of_the_model_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ruska.methods import prior
    from ruska.weights.embedded import EMBEDDED

    monkeypatch.setattr(prior, "_kept", None)
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED, folder)
    assert prior.load(str(folder))[0] is not prior.load(str(folder))[0], "only where it was asked for"
    prior.keep_network()
    first = prior.load(str(folder))[0]
    assert prior.load(str(folder))[0] is first
    (folder / "card.json").write_bytes((folder / "card.json").read_bytes() + b" ")
    assert prior.load(str(folder))[0] is not first
    assert prior._kept is not None
    assert len(prior._kept) == 1
    (folder / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError):
        prior.load(str(folder))


def test_a_worker_that_is_closed_ends_what_it_is_at_so_that_it_resumes(plugin: None, tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", np.zeros((1024, 4096), np.uint8))
    worker = jobs.Worker()
    job = worker.submit(asked(tmp_path / "big.npy", tmp_path / "out.npy", "slow"), root=tmp_path / "root", workers=1)
    in_the_middle(job)
    started = time.monotonic()
    worker.close()
    assert time.monotonic() - started < 9
    assert job.status == "cancelled"
    assert run_here(job) == 0
