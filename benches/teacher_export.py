"""Exports a Llama checkpoint with torch.onnx.export, for comparison in `benches/teacher_graph.rs`.

    python benches/teacher_export.py CHECKPOINT OUTPUT.onnx

Prints the versions used. Needs torch, transformers, onnx and onnxscript.
"""

import sys

import torch
import transformers


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model(input_ids=input_ids, use_cache=False).logits


def main(checkpoint, output):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="sdpa"
    )
    ids = torch.randint(0, model.config.vocab_size, (2, 16))
    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    torch.onnx.export(
        Logits(model).eval(),
        (ids,),
        output,
        input_names=["input_ids"],
        output_names=["logits"],
        dynamic_shapes={"input_ids": {0: batch, 1: sequence}},
        opset_version=18,
        dynamo=True,
    )
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
