"""The journal's bookkeeping: entries as stored, their order, what is known of a call before its outcome comes up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdata.engine.entry import Entry, parse
from meshdata.errors import CorruptRecord
from meshdata.workflow.journal import Journal


def stored(position: str, code: str = "ok", *, ms: int = 1, kind: str = "activity", name: str = "f") -> bytes:
    """An entry as lib/append.lua writes it."""
    return f"{ms} {position} {kind} {code} {name}\n".encode() + b"null"


def journal_of(*raws: bytes) -> Journal:
    journal = Journal()
    assert journal.extend(0, raws)
    return journal


def delivered(journal: Journal) -> list[str]:
    """The positions of all outcomes, in the order they come out."""
    out = []
    while (entry := journal.next()) is not None:
        out.append(entry.position)
    return out


# --- an entry ---------------------------------------------------------------------------------------------------------


def test_an_entry_is_read_as_it_was_written() -> None:
    entry = parse(7, b'1700000000123 0.1:2 wait ok a key with blanks\n{"x": "1\\n2"}')
    assert entry == Entry(7, 1700000000123, "0.1:2", "wait", "ok", "a key with blanks", b'{"x": "1\\n2"}')


def test_an_entry_may_tell_how_long_its_call_took() -> None:
    entry = parse(1, b"1700000000123/45 0:1 activity ok act\n7")
    assert (entry.ms, entry.took, entry.position) == (1700000000123, 45, "0:1")


def test_an_entry_may_have_no_name_and_no_payload() -> None:
    entry = parse(0, b"1 0:1 sleep ok \n")
    assert (entry.name, entry.payload) == ("", b"")


def test_a_payload_may_hold_newlines() -> None:
    assert parse(0, b"1 0:1 once ok f\na\nb\n").payload == b"a\nb\n"


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"1 0:1 wait ok name", b"soon 0:1 wait ok name\n", b"1 0:1 wait\n", b"1 0:1 wait ok \xff\n"],
    ids=["empty", "only-newline", "no-payload", "no-number", "words-missing", "not-utf8"],
)
def test_bytes_that_are_no_entry_are_refused_with_their_place(raw: bytes) -> None:
    with pytest.raises(CorruptRecord, match="journal entry 3"):
        parse(3, raw)


@given(
    ms=st.integers(0, 2**53),
    position=st.from_regex(r"0(\.[1-9]\d{0,3}){0,4}:[1-9]\d{0,3}", fullmatch=True),
    name=st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    payload=st.binary(),
)
def test_whatever_a_name_and_a_payload_hold_they_come_back(ms: int, position: str, name: str, payload: bytes) -> None:
    raw = f"{ms} {position} wait ok {name}\n".encode() + payload
    assert parse(0, raw) == Entry(0, ms, position, "wait", "ok", name, payload)


@pytest.mark.parametrize(
    ("code", "is_final"), [("ok", True), ("err", True), ("timeout", True), ("try", False), ("due", False)]
)
def test_a_failed_attempt_is_not_the_end_of_a_call(code: str, is_final: bool) -> None:
    assert parse(0, stored("0:1", code)).is_final is is_final


# --- order ------------------------------------------------------------------------------------------------------------


def test_outcomes_come_out_in_the_order_they_stand() -> None:
    journal = journal_of(stored("0:2"), stored("0:1"), stored("0.1:1"))
    assert delivered(journal) == ["0:2", "0:1", "0.1:1"]


def test_the_next_outcome_can_be_looked_at_without_taking_it() -> None:
    journal = journal_of(stored("0:1"), stored("0:2"))
    assert journal.head is not None and journal.head.position == "0:1"
    assert journal.consumed == 0
    journal.next()
    assert journal.head.position == "0:2"
    assert journal.consumed == 1
    journal.next()
    assert journal.head is None and journal.next() is None


def test_entries_known_already_are_passed_over() -> None:
    journal = journal_of(stored("0:1"), stored("0:2"))
    assert journal.extend(0, [stored("0:1"), stored("0:2"), stored("0:3")])
    assert journal.extend(1, [stored("0:2")])
    assert journal.length == 3
    assert delivered(journal) == ["0:1", "0:2", "0:3"]


def test_a_gap_is_refused_and_changes_nothing() -> None:
    journal = journal_of(stored("0:1"))
    assert not journal.extend(2, [stored("0:3")])
    assert journal.length == 1
    assert delivered(journal) == ["0:1"]


def test_places_go_on_after_outcomes_were_taken_out() -> None:
    journal = journal_of(stored("0:1"))
    journal.next()
    journal.extend(1, [stored("0:2")])
    entry = journal.next()
    assert entry is not None and entry.place == 1


@given(st.lists(st.integers(0, 6), max_size=12), st.integers(0, 20))
def test_however_the_pieces_overlap_every_entry_comes_out_once_in_order(firsts: list[int], count: int) -> None:
    whole = [stored(f"0:{n}") for n in range(count)]
    journal = Journal()
    for back in firsts:
        first = max(0, journal.length - back)
        assert journal.extend(first, whole[first : first + 4])
    journal.extend(journal.length, whole[journal.length :])
    assert delivered(journal) == [f"0:{n}" for n in range(count)]


# --- what is known of a call ------------------------------------------------------------------------------------------


def test_a_calls_end_is_known_until_it_is_delivered() -> None:
    journal = journal_of(stored("0:1"), stored("0:2"))
    assert journal.has_outcome("0:2")
    journal.next()
    assert not journal.has_outcome("0:1")
    assert journal.has_outcome("0:2")
    journal.next()
    assert not journal.has_outcome("0:2")


def test_a_failed_attempt_is_news_but_no_end() -> None:
    journal = journal_of(stored("0:1", "try"))
    assert journal.has_news("0:1")
    assert not journal.has_outcome("0:1")
    journal.next()
    assert not journal.has_news("0:1")


def test_two_ends_under_one_position_are_both_delivered() -> None:
    journal = journal_of(stored("0:1"), stored("0:1", "err"))
    journal.next()
    assert journal.has_outcome("0:1")
    journal.next()
    assert not journal.has_outcome("0:1")


def test_patches_are_no_outcomes() -> None:
    journal = Journal()
    journal.extend(
        0, [b"1 0 start ok f\n", b"2 patch patch ok new way\n", b"3 0:1 wait ok k\n1", b"4 patch patch ok b\n"]
    )
    assert (journal.length, journal.patches, journal.consumed) == (4, {"new way", "b"}, 0)
    assert [entry.place for entry in iter(journal.next, None)] == [0, 2]
    assert (journal.has_more, journal.consumed) == (False, 4)


def test_what_is_ahead_of_no_known_call_is_found() -> None:
    journal = Journal()
    journal.extend(0, [b"1 cancel cancel ok x\n", b"2 0:1 wait ok k\n1", b"3 0:2 wait ok k\n1"])
    assert journal.first_not_of({"0:1", "0:2"}) is None
    found = journal.first_not_of({"0:1"})
    assert found is not None and found.position == "0:2"
