"""Import this before `transformers`: it lets transformers 4.57 and diffusers 0.42 live in one environment.

The two ask for disjoint ranges of huggingface_hub (below 1.0 and from 1.32 up). transformers 4.57 does work with the
newer one as far as local folders go; only the check of versions at its import refuses. This module stands in for
that check. transformers 4.57 is wanted because it follows tokenizer.json as it is written; 5.x rebuilds the pipeline.
"""

import sys
import types

if "transformers" not in sys.modules:
    check = types.ModuleType("transformers.dependency_versions_check")
    check.dep_version_check = lambda *_args, **_kwargs: None
    sys.modules["transformers.dependency_versions_check"] = check
