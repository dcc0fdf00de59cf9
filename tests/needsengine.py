"""Who imports this where the engine's packages are missing skips as a whole: see `engines`."""

import pytest
from engines import MISSING, WHY

if MISSING:
    pytest.skip(WHY, allow_module_level=True)
