"""Recipes for machines that tests do not have take a step, in small."""

from __future__ import annotations

import math
import os
from pathlib import Path

import yaml

from main import main
from scripts.comparison.engine import Plan
from scripts.comparison.fit import takes_several
from scripts.comparison.reader import read_comparison


def test_the_recipe_for_a_gpu_takes_a_step_in_small(tmp_path: Path) -> None:
    """All of it but the device: its towers' kinds, its precision, its optimiser and its schedule."""
    os.chdir(Path(__file__).resolve().parents[1])
    small = {
        "model.init_args.image_encoder.init_args": (
            "{image_size: 64, width: 24, layers: 2, stem_channels: [4, 4, 4, 4]}"
        ),
        "model.init_args.text_encoder.init_args": "{width: 16, layers: 1, vocab_size: 512}",
        "data.init_args.loader": "{batch_size: 4, epoch_size: 4, eval_batch_size: 4, ahead: false}",
        "data.init_args.synthesizer.init_args.image_maker.init_args": "{device: cpu, chunk: 4}",
    }
    line = main(
        [
            *("fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/gpu.yaml"),
            *(f"--{key}={value}" for key, value in small.items()),
            *("--trainer.accelerator=cpu", "--trainer.max_steps=1", "--trainer.limit_val_batches=0"),
            *("--trainer.logger=false", "--trainer.callbacks=[]", "--trainer.enable_progress_bar=false"),
            f"--data.init_args.artifacts_dir={tmp_path}",
            *("--data.init_args.tokenizer_reports=200", f"--run_dir={tmp_path / 'run'}"),
        ]
    )
    assert line.trainer.global_step == 1 and line.trainer.precision == "bf16-mixed"
    assert math.isfinite(line.trainer.callback_metrics["train/loss"])
    data = line.datamodule
    assert data.sizes["train"] >= 1_000_000 and data.synthesizer.image_size == 64


def test_the_scale_of_the_publication_takes_a_step_in_small(tmp_path: Path) -> None:
    """All of it but devices and sizes: a BERT's weights with their tokenizer, 224 px, precision, schedule."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    os.chdir(Path(__file__).resolve().parents[1])
    comparison = read_comparison("paper")
    run = Plan(comparison, "paper", tmp_path, cache=tmp_path).run(comparison.arms["synthetic"], 0)
    layer = yaml.safe_load(Path("configs/reproduce/scales/paper.yaml").read_text())
    model, data = layer["model"]["init_args"], layer["data"]["init_args"]
    image, text = (model[f"{side}_encoder"]["init_args"] for side in ("image", "text"))
    assert [image[key] for key in ("image_size", "patch_size", "width", "layers")] == [224, 16, 768, 12]
    sizes = ("vocab_size", "max_length", "width", "layers", "heads")
    assert [text[key] for key in sizes] == [28_996, 512, 768, 12, 12], "as Bio_ClinicalBERT's config.json"
    assert data["tokenizer"]["path"] == text["pretrained"]
    assert (
        layer["trainer"]["devices"] == 8
        and takes_several(layer)
        and "--data.init_args.train_pairs=200000" in run.args
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "lung", "heart", *"abcdefghijklmnop.,"]
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bert = tmp_path / "bert"
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=512, **tiny)).save_pretrained(bert)
    BertTokenizerFast(vocab={word: place for place, word in enumerate(words)}).save_pretrained(bert)
    small = {
        "model.init_args.image_encoder.init_args": "{width: 24, layers: 1, heads: 2}",
        "model.init_args.text_encoder.init_args": (
            f"{{pretrained: {bert}, vocab_size: {len(words)}, width: 16, layers: 1, heads: 2}}"
        ),
        "data.init_args.tokenizer.path": bert,
        "data.init_args.loader": "{batch_size: 4, epoch_size: 4, num_workers: 0}",
        "data.init_args.train_pairs": 4,
        "data.init_args.val_pairs": 2,
    }
    line = main(
        [
            *("fit", *run.args, *(f"--{key}={value}" for key, value in small.items())),
            *("--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto"),
            *("--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.logger=false"),
            *(
                "--trainer.callbacks=[]",
                "--trainer.enable_progress_bar=false",
                f"--run_dir={tmp_path / 'run'}",
            ),
        ]
    )
    assert line.trainer.global_step == 1 and line.trainer.precision == "bf16-mixed"
    assert math.isfinite(line.trainer.callback_metrics["train/loss"])
    assert line.datamodule.synthesizer.image_size == 224
    assert line.datamodule.tokenizer.get_vocab()["lung"] == words.index("lung")
