"""The regularisation path of SimCLR's and BYOL's linear evaluation."""

# 45 values, logarithmically from 1e-6 to 1e5; rounded, so that a record has the digits that are meant
L2_GRID = tuple(float(f"{10 ** (-6 + 11 * step / 44):.6e}") for step in range(45))
