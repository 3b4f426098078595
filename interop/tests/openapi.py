"""What schemathesis posts where a compact packet is expected: bytes, CBOR, and what looks like a COSE_Encrypt0."""
import cbor2
import schemathesis
from hypothesis import strategies as st

headers = st.dictionaries(st.sampled_from([1, 4, 5, 6, "a"]) | st.integers(), st.integers() | st.binary(max_size=24), max_size=3)
sealed = st.tuples(headers.map(cbor2.dumps) | st.binary(max_size=24), headers, st.none() | st.binary(max_size=80))
tagged = sealed.map(lambda parts: cbor2.CBORTag(16, list(parts)))
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
packets = st.one_of((tagged | sealed.map(list) | anything).map(cbor2.dumps), st.binary(max_size=4096))
schemathesis.openapi.media_type("application/cose", packets)
