"""Plain-text tables with columns of equal width."""

from collections.abc import Collection, Sequence

__all__ = ["format_table"]


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, optional: Collection[str], right: Collection[str]
) -> list[str]:
    """Return the lines of a table: head, rule, rows.

    Args:
        head: Names of the columns.
        rows: Texts of the cells.
        optional: Columns that are left out if all their cells are empty.
        right: Columns that are aligned to the right.
    """
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:]) or column[0] not in optional]
    widths = [max(map(len, column)) for column in columns]
    padded = [
        [cell.rjust(width) if column[0] in right else cell.ljust(width) for cell in column]
        for column, width in zip(columns, widths, strict=True)
    ]
    first, *others = ("  ".join(cells).rstrip() for cells in zip(*padded, strict=True))
    return [first, "  ".join("-" * width for width in widths), *others]
