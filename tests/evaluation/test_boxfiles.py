"""Text files of numbers: every separator and line end, and the line of whatever is wrong."""

import numpy as np
import pytest

from lib.evaluation import boxfiles
from lib.evaluation.boxfiles import parse_rows, parse_rows_or_codes, read_rows
from lib.files import UserError

WANT = [[1.5, -2, 3, 4e1], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    "text",
    [
        b"1.5,-2,3,4e1\n5,6,7,8\n",
        b"1.5\t-2\t3\t40\r\n5\t6\t7\t8",
        b"  1.5 -2   3 40 \n\n5 6 7 8\n\n",
        b"1.5, -2, 3, 40,\n5;6;7;8",
        b"\xef\xbb\xbf1.5,-2,3,40\n5,6,7,8",
    ],
)
def test_separators_and_line_ends(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text)
    np.testing.assert_array_equal(read_rows(tmp_path / "a.txt"), WANT)


NUMBERS = [
    "0",
    "-0.0",
    "7",
    "123456789012345678901234",
    "0.1",
    "1e-7",
    "-2.5E+3",
    "1e400",
    "5e-324",
    "0.30000000000000004",
]


@pytest.mark.parametrize("separator", [",", "\t", " ", ";", ", "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_fast_parser_is_exact(separator, line_end):
    rng = np.random.default_rng(0)
    words = NUMBERS + [repr(x) for x in (rng.uniform(-1, 1, 400) * 10.0 ** rng.integers(-12, 12, 400)).tolist()]
    words += [f"{x:.{places}f}" for places in range(18) for x in rng.uniform(0, 2000, 21)]
    words = words[: len(words) // 4 * 4]
    rows = [words[k : k + 4] for k in range(0, len(words), 4)]
    text = line_end.join(separator.join(row) for row in rows).encode()
    fast = boxfiles._plain_numbers(text)
    assert fast is not None and set(fast[1]) == {4}
    want = np.array([float(word) for word in words])
    np.testing.assert_array_equal(fast[0].view(np.int64)[1:], want.view(np.int64)[1:])  # to the last bit
    np.testing.assert_array_equal(parse_rows(text, "a").ravel(), want)


ODD = [b"", b"1 2\r3 4", b"1,2,\n3,4", b"1  2", b"1,,2", b"true,1", b'"1",2', b"null,1", b"[1,2]", b"NaN,1", b"1.,2"]
ODD += [
    b".5,2",
    b"+1,2",
    b"01,2",
    b"1,2\n\n3,4",
    b"1 2,3",
    b"1;2,3",
    b"\xff,1",
    b"Infinity,1",
    b"0x1,2",
    b"1_0,2",
    b"{},1",
]


@pytest.mark.parametrize("text", ODD)
def test_the_fast_parser_leaves_odd_files_to_the_slow_one(text):
    assert boxfiles._plain_numbers(text) is None


@pytest.mark.parametrize("text", [b"true,1,1,1", b'"1",2,3,4', b"null,1,2,3", b"[1,2,3,4]", b"1_0,2,3,4", b"0x1,2,3,4"])
def test_other_values_of_json_are_no_numbers(text):
    with pytest.raises(UserError, match=r"line 1: .*no number"):
        parse_rows(text, "a.txt")


def test_old_line_ends_and_nan():
    np.testing.assert_array_equal(parse_rows(b"1 2 nan NaN\n3 4 5 6", "a"), [[1, 2, np.nan, np.nan], [3, 4, 5, 6]])


def test_width_is_that_of_the_file():
    assert parse_rows(b"1 2 3 4 5 6 7 8\n" * 3, "a", (4, 8)).shape == (3, 8)
    assert parse_rows(b"1\n0\n", "a", (1,)).tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1,2,3,4\n\n1,2,x3,4\n", r"a\.txt, line 3: .*'x3' is no number"),
        (b"1,2,3,4\n1,2,3\n", r"a\.txt, line 2: .*4 numbers.*got 3"),
        (b"1,2,3\n1,2,3,4,5\n", r"a\.txt, line 1: .*got 3"),  # eight numbers all the same
        (b"1,2,3,4\n1,2,3,4 5\n", r"a\.txt, line 2: .*got 5"),
        (b"\n \n", r"a\.txt: .*empty"),
        (b"1,2,3,4\n1,2,3,4-\n", r"line 2: .*'4-'"),
    ],
)
def test_bad_line_is_named(text, message):
    with pytest.raises(UserError, match=message):
        parse_rows(text, "a.txt")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.txt.*No such file"):
        read_rows(tmp_path / "none.txt")


def test_codes_among_rows():
    rows = parse_rows_or_codes(b"1\r\n1,2,3,4\r\n2\r\n0\r\n", "a")
    n = np.nan
    np.testing.assert_array_equal(rows, [[1, n, n, n], [1, 2, 3, 4], [2, n, n, n], [0, n, n, n]])
    assert parse_rows_or_codes(b"1\n" + b"1,2,3,4,5,6,7,8\n" * 2, "a").shape == (3, 8)
    assert parse_rows_or_codes(b"1\n2\n0.0\n", "a").shape == (3, 4)  # never a box


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1\n1,2,3,4\n3\n", "line 3: .*3 is no code"),
        (b"1\n1,2,3,4\n1,2,3,4,5,6,7,8\n", "line 3: .*got 8"),
        (b"1\n1,2,3\n", "line 2: .*got 3"),
        (b"1\nm1,2\n", "line 2: .*'m1' is no number"),
        (b"1\n1,2,3,4\n2\n1,2,x,4\n", "line 4: .*'x' is no number"),
    ],
)
def test_bad_code_or_row_is_named(text, message):
    with pytest.raises(UserError, match=message):
        parse_rows_or_codes(text, "a.txt")
