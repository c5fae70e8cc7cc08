"""The hostile models: each name with how a sound model's folder is harmed and what the refusal must say."""

from __future__ import annotations

import gzip

from tests.registry import harm as h
from tests.registry import harm_files as f
from tests.registry.harm import (
    CODE,
    ENCODER,
    ITEMS,
    PICKLE,
    RANKER,
    Harm,
    also,
    data,
    described,
    inside,
    one,
    raw,
    seal,
)

DEEP = b"[" * 200_000
TWICE = b'{"mean": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, ' * 2 + b'"x": 1}}'
TWO = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
OVERLAP = TWO | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}
GAP = TWO | {"b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}}

# Those whose code a bare `mlflow.pyfunc.load_model` runs.
RUN_BY_A_BARE_LOAD = (
    "pickled_python_model",
    "gzip_pickled_python_model",
    "pickled_sklearn",
    "foreign_loader",
    "shadowed_package",
)
CASES: dict[str, tuple[Harm, str]] = {
    "pickled_python_model": (h.pickled_python_model, r"wants to be loaded by 'mlflow\.pyfunc\.model'"),
    "gzip_pickled_python_model": (h.gzip_pickled_python_model, r"wants to be loaded by 'mlflow\.pyfunc\.model'"),
    "pickled_sklearn": (h.pickled_sklearn, r"wants to be loaded by 'mlflow\.sklearn'"),
    "foreign_loader": (h.foreign_loader, "wants to be loaded by 'foreign_loader'"),
    "standard_library_loader": (h.standard_library_loader, "wants to be loaded by 'runpy'"),
    "shadowed_package": (h.shadowed_package, "deeper|brings its own code"),
    "foreign_code": (h.foreign_code_for_our_loader, "brings its own code"),
    "code_beside": (lambda m: also(m, "code/x.py", CODE), "holds 'code'"),
    "second_flavour": (h.second_flavour, "a further flavour, 'sklearn'"),
    "pickle_beside": (lambda m: also(m, "python_model.pkl", PICKLE), r"holds 'python_model\.pkl'"),
    "startup_hook": (lambda m: also(m, "sitecustomize.py", CODE), r"holds 'sitecustomize\.py'"),
    "yaml_that_runs": (h.yaml_that_runs, "no MLmodel file that can be read"),
    "yaml_bomb": (h.yaml_bomb, "aliases are not allowed"),
    "yaml_key_twice": (h.key_twice, "a key stands twice"),
    "yaml_nested": (lambda m: also(m, "MLmodel", DEEP), "no MLmodel file that can be read"),
    "huge_description": (h.huge_description, "larger than 1048576 bytes"),
    "no_description": (lambda m: (m / "MLmodel").unlink(), "no MLmodel file"),
    "other_data": (lambda m: described(m, data="../elsewhere"), r"points at '\.\./elsewhere'"),
    "second_bundle": (f.second_bundle, "2 entries under 'data'"),
    "evil_requirement": (h.evil_requirement, "wants '--index-url https://packages.invalid/simple' to be installed"),
    "evil_conda": (h.evil_conda, r"wants 'git\+https://code.invalid/x.git' to be installed"),
    "evil_environment": (h.evil_environment, "wants 'pip @ file:///x.whl' to be installed"),
    "pickle_unlisted": (lambda m: also(data(m), "model.pkl", PICKLE), r"'model\.pkl' is not in the manifest"),
    "pickle_listed": (inside("model.pkl", PICKLE), r"File 'model\.pkl' is not allowed"),
    "python_listed": (inside("hook.py", CODE.encode()), r"File 'hook\.py' is not allowed"),
    "hidden_listed": (inside(".x.json", b"{}"), r"'.*\.x\.json' is not allowed"),
    "object_array": (f.object_array, r"File 'x\.npy' is not allowed"),
    "pickle_as_tensors": (inside(RANKER, PICKLE), "is no safetensors file"),
    "torch_archive": (f.torch_archive, "is no safetensors file"),
    "gzip_pickle_as_items": (inside(ITEMS, gzip.compress(PICKLE)), "is no Parquet file: it begins otherwise"),
    "parquet_of_pickle": (inside(ITEMS, b"PAR1" + PICKLE + b"PAR1"), "is no Parquet file"),
    "pickled_extension_type": (f.pickled_extension_type, "column 'item_id' is no text"),
    "unfolding_parquet": (f.unfolding_parquet, "to 3000000 rows"),
    "polyglot": (f.polyglot, "its header describes"),
    "huge_tensor": (one(shape=(1 << 40, 1 << 40)), "takes 4835703278458516698824704"),
    "huge_dimension": (one(shape=(1 << 60,)), "in a way that cannot be"),
    "negative_shape": (one(shape=(-2,)), "in a way that cannot be"),
    "unknown_dtype": (one(dtype="O"), "has dtype 'O'"),
    "shape_of_text": (one(shape="os.system"), "in a way that cannot be"),
    "offsets_beyond": (one(shape=(4,), offsets=(0, 16)), "holds 8 bytes of tensors, its header describes 16"),
    "endless_header": (inside(RANKER, raw(b"{}", length=1 << 63)), "a header of 9223372036854775808"),
    "nested_header": (inside(RANKER, raw(DEEP)), "a header that is no JSON"),
    "tensor_twice": (inside(RANKER, raw(TWICE)), "a header that is no JSON|has the key 'mean' twice"),
    "overlapping": (inside(RANKER, raw(OVERLAP, bytes(12))), "has 'b' at 4, the tensor before it ends at 8"),
    "gap_for_a_payload": (inside(RANKER, raw(GAP, bytes(24))), "has 'b' at 16, the tensor before it ends at 8"),
    "other_tensors": (one(), "'mean' of 'ranker.safetensors' is F32 .2.; by its description it must be F32"),
    "transposed": (f.transposed, "by its description it must be"),
    "changed_byte": (f.changed_byte, r"'ranker/ranker\.safetensors' was changed"),
    "cut_off": (lambda m: (data(m) / ENCODER).write_bytes(b""), r"found 0\)"),
    "missing": (lambda m: (data(m) / ITEMS).unlink(), r"'items\.parquet' is missing"),
    "nested_json": (inside("ranker/ranker.json", DEEP), r"'ranker\.json' is no JSON"),
    "wide_encoder": (f.wide_encoder, "ask for 1048576; 8192 is the limit"),
    "climbing_manifest": (f.climbing_manifest, r"'\.\./\.\./\.\./x\.json' is not allowed"),
    "absolute_manifest": (lambda m: seal(m, files={"/etc/x.json": {"size": 0, "sha256": "0" * 64}}), "is not allowed"),
    "manifest_key_twice": (f.manifest_key_twice, "has the key 'format' twice"),
    "huge_manifest": (f.huge_manifest, "the manifest is larger than"),
    "link_description": (f.link_to("MLmodel"), "'MLmodel' is a link"),
    "link_data": (f.link_to("data"), "'data' is a link"),
    "link_bundle": (f.link_to("BUNDLE"), "'data/b' is a link"),
    "link_file": (f.link_to("BUNDLE/items.parquet"), "is a link"),
    "link_to_endless": (f.link_to_endless, "is a link"),
    "pipe": (f.pipe, "is a special file"),
    "socket": (f.listening, "is a special file"),
    "sparse_terabyte": (f.sparse_terabyte, "larger than 64 files or the limit in bytes"),
    "many_files": (f.many_files, "larger than 64 files"),
    "deep_folders": (lambda m: also(m, "data/b/c/d/e/f.json", "{}"), "lies deeper than 4 levels"),
}
