"""Graph: names are edges, types are checked, mistakes are told with both ends."""

from __future__ import annotations

import pytest

from img2mesh.errors import Img2MeshError, InputError
from img2mesh.graph import Graph, stage
from tests.graph import toy
from tests.graph.toy import GRAPH, Number, Text, doubled, signed, spelled


@stage(version=1)
def shouted(spelled: Number) -> Text:
    """Takes the wrong type."""
    return Text(())


@stage(version=1)
def echoed(speled: Text) -> Text:
    """Takes a name nobody makes."""
    return Text(())


@stage(version=1)
def either(doubled: Number | Text) -> Text:
    """Takes one of two."""
    return Text(())


@stage(version=1)
def seed(doubled: Number) -> Number:
    """Has the name of the source."""
    return doubled


def test_order_and_ancestors() -> None:
    assert GRAPH.order == ("doubled", "spelled", "signed")
    assert GRAPH.ancestors("signed") == ("seed", "doubled", "spelled")
    assert GRAPH.ancestors("doubled") == ("seed",)
    assert list(GRAPH.stages) == list(GRAPH.order)


def test_what_is_needed() -> None:
    assert GRAPH.needed("signed", {"seed"}) == ("doubled", "spelled", "signed")
    assert GRAPH.needed("spelled", {"seed"}) == ("doubled", "spelled")
    assert GRAPH.needed("signed", {"seed", "doubled"}) == ("spelled", "signed")
    assert GRAPH.needed("signed", {"spelled", "doubled"}) == ("signed",)
    assert GRAPH.needed("signed", {"signed"}) == ()
    with pytest.raises(InputError, match="signed needs seed"):
        GRAPH.needed("signed", {"spelled"})  # doubled is still wanted, and needs the seed
    with pytest.raises(InputError, match="did you mean 'signed'"):
        GRAPH.needed("singed", {"seed"})
    with pytest.raises(InputError, match="unknown"):
        GRAPH.needed("signed", {"seed", "sprout"})


def test_mermaid() -> None:
    assert GRAPH.mermaid().splitlines() == [
        "flowchart LR",
        "    seed([seed])",
        "    seed --> doubled",
        "    doubled --> spelled",
        "    spelled --> signed",
        "    doubled --> signed",
    ]


def test_unknown_inputs_list_what_there_is() -> None:
    with pytest.raises(Img2MeshError, match=r"echoed.*'speled'.*'spelled'.*seed, doubled, spelled"):
        Graph(source={"seed": Number}, stages=[doubled, spelled, echoed])


def test_what_comes_later_is_not_upstream() -> None:
    with pytest.raises(Img2MeshError, match="spelled"):
        Graph(source={"seed": Number}, stages=[doubled, signed, spelled])


def test_wrong_types_name_both_functions_and_both_types() -> None:
    message = r"test_wiring\.shouted takes spelled as .*Number, but .*toy\.spelled makes .*Text"
    with pytest.raises(Img2MeshError, match=message):
        Graph(source={"seed": Number}, stages=[doubled, spelled, shouted])


def test_a_source_of_the_wrong_type_is_an_error_too() -> None:
    with pytest.raises(Img2MeshError, match=r"the source 'seed' makes .*Text"):
        Graph(source={"seed": Text}, stages=[doubled])


def test_a_union_takes_its_members() -> None:
    assert Graph(source={"seed": Number}, stages=[doubled, either]).order[-1] == "either"


def test_one_name_twice_names_both() -> None:
    with pytest.raises(Img2MeshError, match=r"'doubled': .*toy\.doubled and .*toy\.doubled"):
        Graph(source={"seed": Number}, stages=[doubled, doubled])
    with pytest.raises(Img2MeshError, match=r"the source 'seed' and .*seed"):
        Graph(source={"seed": Number}, stages=[doubled, seed])


def test_a_runner_refuses_what_it_could_not_store() -> None:
    with pytest.raises(Img2MeshError, match=r"toy\.spelled needs a codec"):
        toy.runner(None, codecs={Number: toy.CODECS[Number]})


def test_a_runner_refuses_unknown_stages_and_settings() -> None:
    with pytest.raises(InputError, match="did you mean 'doubled'"):
        toy.runner(None, {"dubled": {"factor": 3}})
    with pytest.raises(InputError, match="unknown setting of doubled 'faktor'"):
        toy.runner(None, {"doubled": {"faktor": 3}})
    with pytest.raises(InputError, match=r"doubled\.factor must be int"):
        toy.runner(None, {"doubled": {"factor": "three"}})
    with pytest.raises(InputError, match="unknown stage 'all'"):
        toy.runner(None, force={"all"})
