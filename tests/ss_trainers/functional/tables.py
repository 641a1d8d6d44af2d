"""Tables of numbers and marks, side by side, for properties."""

import torch
from hypothesis import strategies as st


@st.composite
def tables(draw, *elements, most_rows=4, most_columns=6):
    """Tensors of one shape (N, M), one of each kind of element; numbers are float64."""
    rows, columns = draw(st.integers(1, most_rows)), draw(st.integers(1, most_columns))
    size = rows * columns
    drawn = [draw(st.lists(each, min_size=size, max_size=size)) for each in elements]
    kinds = [torch.bool if isinstance(values[0], bool) else torch.float64 for values in drawn]
    return tuple(
        torch.tensor(values, dtype=kind).view(rows, columns) for values, kind in zip(drawn, kinds, strict=True)
    )
