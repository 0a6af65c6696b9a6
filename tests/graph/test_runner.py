"""Runner: hit, miss, cascade, force; what is handed on; what is told; what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from img2mesh.errors import CacheError, Img2MeshError, InputError
from img2mesh.graph import (
    Codec,
    Event,
    Finished,
    Graph,
    Leaf,
    Planned,
    Progressed,
    Reused,
    Run,
    Started,
    Store,
    stage,
)
from tests.graph import toy
from tests.graph.toy import CALLS, LOADS, Number, Text

ALL = ["doubled", "spelled", "signed"]
RESULT = Text(("en", "42", "4.0", "1", "2", "None:42"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def chain(*stages: Any) -> Graph:
    return Graph(source={"seed": Number}, stages=list(stages))


def test_miss_then_hit(store: Store) -> None:
    assert toy.run(store) == ALL
    assert LOADS == ["seed", "number", "text"]  # later stages get what was stored
    assert toy.run(store) == []
    assert LOADS == []  # nothing is decoded that nobody asks for
    assert toy.leftovers(store) == []


def test_the_result_and_where_it_lies(store: Store) -> None:
    for cached in (False, True):
        runner = toy.runner(store)
        outcome = runner.run("signed", {"seed": toy.leaf(21)})
        assert outcome.value == outcome.load() == RESULT
        assert list(runner.outcomes) == ALL
        assert runner.outcomes["signed"] is outcome
        assert outcome.cached is cached
        assert outcome.folder == toy.folder_of(store, "signed")
        assert (outcome.folder / "words" / "000.txt").read_text() == "en"
        assert runner.outcomes["spelled"].notes == ("spelled in en",)  # said again on reuse
        assert outcome.seconds >= 0


def test_the_cached_result_is_read_once_and_only_when_asked_for(store: Store) -> None:
    toy.run(store)
    outcome = toy.runner(store).run("signed", {"seed": toy.leaf(21)})
    LOADS.clear()
    assert outcome.value is outcome.value
    assert LOADS == ["text"]


def test_only_what_changed_and_what_hangs_on_it_runs(store: Store) -> None:
    toy.run(store)
    assert toy.run(store, {"signed": {"author": "me"}}) == ["signed"]
    assert LOADS == ["text", "number"]  # its inputs, from the cache; not the seed
    assert toy.run(store, {"spelled": {"language": "de"}}) == ["spelled", "signed"]
    assert toy.run(store, {"doubled": {"factor": 3}}) == ALL
    assert toy.run(store) == []  # and back again: all is still there


def test_stopping_anywhere(store: Store) -> None:
    runner = toy.runner(store)
    assert runner.run("doubled", {"seed": toy.leaf(4)}).value == Number(8)
    assert list(runner.outcomes) == ["doubled"]


def test_entering_in_the_middle(store: Store) -> None:
    CALLS.clear()
    words = Leaf("words", lambda: Text(("given",)))
    given = {"spelled": words, "doubled": toy.leaf(7)}
    runner = toy.runner(store)
    assert runner.run("signed", given).value == Text(("given", "None:7"))
    assert CALLS == ["signed"]
    assert list(runner.outcomes) == ["signed"]
    assert toy.runner(store).run("signed", given).cached
    # A leaf given in the middle hides what is upstream of it, and nothing else.
    CALLS.clear()
    result = toy.runner(store).run("signed", {"seed": toy.leaf(21), "spelled": words})
    assert result.value == Text(("given", "None:42"))
    assert CALLS == ["doubled", "signed"]


def test_the_target_itself_may_be_given(store: Store) -> None:
    runner = toy.runner(store)
    leaf = Leaf("d", lambda: Text(("there",)))
    assert runner.plan("signed", {"signed": leaf}) == []
    assert runner.run("signed", {"signed": leaf}).value == Text(("there",))


def test_what_is_not_given_is_missed(store: Store) -> None:
    with pytest.raises(InputError, match="signed needs seed, which was not given"):
        toy.runner(store).run("signed", {})


def test_force_runs_again_and_what_follows_is_kept_if_nothing_changed(store: Store) -> None:
    toy.run(store)
    assert toy.run(store, force={"spelled"}) == ["spelled"]
    assert toy.run(store, force=set(ALL)) == ALL
    assert toy.run(store) == []


def test_a_mixed_chain_is_never_served(store: Store) -> None:
    """An upstream remade elsewhere may differ in bits under the same key."""
    graph, drift = drifting()
    assert toy.run(store, graph=graph) == ALL
    drift.append(1)
    # Forced, it makes something else: what was made from the old one has to go.
    assert toy.run(store, graph=graph, force={"doubled"}) == ALL
    assert toy.run(store, graph=graph) == []


def test_a_mixed_chain_is_noticed_later_too(store: Store) -> None:
    graph, drift = drifting()
    toy.run(store, graph=graph)
    drift.append(1)
    forced = toy.runner(store, graph=graph, force={"doubled"})
    forced.run("doubled", {"seed": toy.leaf(21)})  # the rest of the chain is not even looked at
    assert toy.reasons(store, graph=graph) == {
        "doubled": None,
        "spelled": "inputs",
        "signed": "inputs",
    }
    runner = toy.runner(store, graph=graph)
    assert runner.run("signed", {"seed": toy.leaf(21)}).value.words[-1] == "None:43"
    assert [one.cached for one in runner.outcomes.values()] == [True, False, False]


def drifting() -> tuple[Graph, list[int]]:
    """The toy graph, whose first stage adds what is in the list."""
    drift = [0]

    @stage(version=1)
    def doubled(seed: Number) -> Number:
        CALLS.append("doubled")
        return Number(seed.value * 2 + drift[-1])

    return chain(doubled, toy.spelled, toy.signed), drift


def test_what_was_stored_is_handed_on(store: Store) -> None:
    """So a resumed run ends in the same bytes as one in one go."""

    def save_tens(folder: Path, number: Number) -> None:
        toy.save_number(folder, Number(number.value // 10 * 10))

    for cache in (store, None):
        codecs = toy.CODECS | {Number: Codec(1, save_tens, toy.load_number)}
        runner = toy.runner(cache, codecs=codecs)
        outcome = runner.run("signed", {"seed": toy.leaf(21)})
        assert runner.outcomes["doubled"].value == Number(40)
        assert outcome.value.words[-1] == "None:40"


def test_without_a_store_all_goes_the_same_and_nothing_stays(tmp_path: Path) -> None:
    runner = toy.runner(None)
    outcome = runner.run("signed", {"seed": toy.leaf(21)})
    assert outcome.value == RESULT
    assert outcome.folder is None
    room = Path(runner._room.name)  # type: ignore[union-attr]
    assert room.exists()
    del runner
    assert not room.exists()
    assert outcome.value == RESULT


def test_what_is_told(store: Store) -> None:
    told: list[Event] = []
    toy.run(store, on_event=told.append)
    kinds = [(type(one), one.stage) for one in told]
    assert kinds == [
        (Planned, "doubled"),
        (Planned, "spelled"),
        (Planned, "signed"),
        (Started, "doubled"),
        (Finished, "doubled"),
        (Started, "spelled"),
        (Progressed, "spelled"),
        (Finished, "spelled"),
        (Started, "signed"),
        (Finished, "signed"),
    ]
    (progress,) = (one for one in told if isinstance(one, Progressed))
    assert (progress.fraction, progress.message) == (0.5, "half")
    spelled = next(one for one in told if isinstance(one, Finished) and one.stage == "spelled")
    assert spelled.notes == ("spelled in en",)
    told.clear()
    toy.run(store, on_event=told.append)
    assert [type(one) for one in told] == [Planned] * 3 + [Reused] * 3


def test_what_the_record_says(store: Store) -> None:
    toy.run(store, device="cpu", versions={"numpy": "2.0"})
    manifest = store.show(toy.folder_of(store, "spelled").name).manifest
    assert manifest.recipe["settings"] == {"language": "en", "loudness": 4.0, "ends": [1, 2]}
    assert manifest.recipe["identity"] == {"speller": "en-1"}
    assert manifest.leaves == {"seed": toy.leaf(21).digest}
    assert manifest.device == "cpu"
    assert manifest.versions == {"numpy": "2.0"}
    assert manifest.notes == ["spelled in en"]
    upstream = store.show(toy.folder_of(store, "doubled").name).manifest
    assert manifest.used == {"doubled": upstream.digest}
    assert manifest.recipe["inputs"] == {"doubled": toy.folder_of(store, "doubled").name}


def failing(error: BaseException, *, scratch: str = "") -> Any:
    @stage(version=1)
    def spelled(doubled: Number, *, run: Run | None = None) -> Text:
        assert run is not None
        if scratch:
            (run.scratch / "step.txt").write_text(scratch)
        raise error

    return spelled


def test_errors_of_ours_pass_and_others_name_the_stage(store: Store) -> None:
    with pytest.raises(InputError, match=r"^no object found$"):
        toy.run(store, graph=chain(toy.doubled, failing(InputError("no object found")), toy.signed))
    with pytest.raises(
        Img2MeshError, match=r"^stage spelled failed: ZeroDivisionError: by 0$"
    ) as e:
        toy.run(store, graph=chain(toy.doubled, failing(ZeroDivisionError("by 0")), toy.signed))
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    for error, told in ((MemoryError(), "MemoryError"), (OSError("a\n  b"), "OSError: a b")):
        with pytest.raises(Img2MeshError, match=f"^stage spelled failed: {told}$"):
            toy.run(store, graph=chain(toy.doubled, failing(error), toy.signed))
    assert [item.stage for item in store.items()] == ["doubled"]  # no half entry, no quarantine
    assert toy.leftovers(store) == []
    assert toy.run(store) == ["spelled", "signed"]


def test_a_wrong_result_is_an_error(store: Store) -> None:
    @stage(version=1)
    def spelled(doubled: Number) -> Text:
        return "text"  # type: ignore[return-value]

    with pytest.raises(Img2MeshError, match="stage spelled failed: TypeError: made str, not Text"):
        toy.run(store, graph=chain(toy.doubled, spelled, toy.signed))


def test_a_leaf_that_cannot_be_read_is_told_as_it_is(store: Store) -> None:
    def load() -> Number:
        raise InputError("seed.txt is no number")

    with pytest.raises(InputError, match=r"^seed.txt is no number$"):
        toy.runner(store).run("signed", {"seed": Leaf("d", load)})


def test_an_interrupt_leaves_nothing_but_the_scratch(store: Store) -> None:
    graph = chain(toy.doubled, failing(KeyboardInterrupt(), scratch="half way"), toy.signed)
    with pytest.raises(KeyboardInterrupt):
        toy.run(store, graph=graph)
    assert toy.leftovers(store) == []
    assert [item.stage for item in store.entries()] == ["doubled"]
    (kept,) = (item for item in store.items() if item.stage == "scratch")
    assert (kept.folder / "step.txt").read_text() == "half way"


def resuming(found: list[str]) -> Graph:
    """The toy graph whose second stage fails once, and finds what it left when it runs again."""

    @stage(version=1)
    def spelled(doubled: Number, *, run: Run | None = None) -> Text:
        assert run is not None
        found.extend(path.read_text() for path in run.scratch.glob("*"))
        (run.scratch / "step.txt").write_text(f"step for {doubled.value}")
        if not found:
            raise RuntimeError("power cut")
        return Text(())

    return chain(toy.doubled, spelled, toy.signed)


def test_scratch_survives_a_failure_and_goes_on_commit(store: Store) -> None:
    found: list[str] = []
    graph = resuming(found)
    with pytest.raises(Img2MeshError, match="power cut"):
        toy.run(store, graph=graph)
    toy.run(store, graph=graph)
    assert found == ["step for 42"]
    assert [item for item in store.items() if item.stage == "scratch"] == []


def test_scratch_of_other_inputs_is_not_resumed(store: Store) -> None:
    found: list[str] = []
    graph = resuming(found)
    for value in (21, 22):
        with pytest.raises(Img2MeshError, match="power cut"):
            toy.run(store, graph=graph, value=value)
    assert found == []
    assert len([item for item in store.items() if item.stage == "scratch"]) == 2


def test_force_starts_afresh(store: Store) -> None:
    found: list[str] = []
    graph = resuming(found)
    for _ in range(2):
        with pytest.raises(Img2MeshError, match="power cut"):
            toy.run(store, graph=graph, force={"spelled"})
    assert found == []


def test_a_result_taken_away_while_the_run_goes_on_is_told(store: Store) -> None:
    toy.run(store)

    def vandal(event: Event) -> None:
        if isinstance(event, Reused) and event.stage == "spelled":
            (toy.folder_of(store, "spelled") / "words" / "000.txt").unlink()
            (toy.folder_of(store, "doubled") / "number.txt").unlink()

    with pytest.raises(Img2MeshError, match="signed"):
        toy.run(store, {"signed": {"author": "me"}}, on_event=vandal)
    assert toy.run(store, {"signed": {"author": "me"}}) == ALL  # the next run repairs it


def test_a_codec_that_fails_names_the_stage(store: Store) -> None:
    def save(folder: Path, number: Number) -> None:
        raise ValueError("not today")

    codecs = toy.CODECS | {Number: Codec(1, save, toy.load_number)}
    with pytest.raises(Img2MeshError, match="stage doubled failed: ValueError: not today") as error:
        toy.run(store, codecs=codecs)
    assert not isinstance(error.value, CacheError)
    assert store.items() == []
    assert toy.leftovers(store) == []
