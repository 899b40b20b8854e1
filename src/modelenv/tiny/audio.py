"""Tiny real models for the audio tasks: architectures of transformers with random weights.

Each function writes a folder that `transformers.pipeline` can load. The weights are drawn from torch's random state.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modelenv.tiny.vocabulary import byte_tokenizer, vocabulary_size

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("yes", "no", "up", "down", "silence")
_SAMPLING_RATE = 16_000
_LETTERS = "ETAOINSHRDLUMCWFGYPBVKXJQZ"


def _save(folder: Path, model: Any, *processors: Any) -> None:
    model.eval()
    model.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)


def _wav2vec2(**values: Any) -> Any:
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8, 8, 8],
        conv_kernel=[10, 8, 8],
        conv_stride=[5, 8, 8],
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=16,
        initializer_range=0.5,
        **values,
    )


def build_audio_classification(folder: Path) -> None:
    """Write a Wav2Vec2 with a classification head, for sounds at 16 kHz, with five labels."""
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    config = _wav2vec2(
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    _save(folder, Wav2Vec2ForSequenceClassification(config), Wav2Vec2FeatureExtractor())


def build_speech_recognition(folder: Path) -> None:
    """Write a Wav2Vec2 that transcribes sounds to letters (CTC), one for each 320 samples."""
    import torch
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ("<pad>", "<s>", "</s>", "<unk>", "|", *_LETTERS)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary))
    model = Wav2Vec2ForCTC(_wav2vec2(vocab_size=len(tokens), pad_token_id=0, bos_token_id=1, eos_token_id=2))
    spaces = tokens.index("|")
    with torch.no_grad():
        model.lm_head.bias[1:spaces] = -100.0  # never a special token
        model.lm_head.bias[spaces] = 4.0  # so that there are several words
    _save(folder, model, Wav2Vec2FeatureExtractor(), tokenizer)


def build_text_to_audio(folder: Path) -> None:
    """Write a VITS, which converts letters to a waveform at 16 kHz in one pass."""
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ("<pad>", "<unk>", " ", *_LETTERS.lower(), *"0123456789'-")
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
    roles = {"pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = VitsTokenizer(str(vocabulary), phonemize=False, normalize=True, add_blank=True, **roles)
    config = VitsConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=16,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        upsample_rates=[8, 4],
        upsample_kernel_sizes=[16, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        depth_separable_num_layers=1,
        duration_predictor_num_flows=1,
        duration_predictor_filter_channels=16,
        duration_predictor_flow_bins=2,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        sampling_rate=_SAMPLING_RATE,
    )
    _save(folder, VitsModel(config), tokenizer)


def build_zero_shot_audio_classification(folder: Path) -> None:
    """Write a CLAP, which embeds sounds at 16 kHz and labels in the same space."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    config = ClapConfig(
        text_config={
            "vocab_size": vocabulary_size(),
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "projection_dim": 16,
            "max_position_embeddings": 258,
            "pad_token_id": 0,
        },
        audio_config={
            "spec_size": 64,
            "num_mel_bins": 16,
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "window_size": 4,
            "hidden_size": 16,
            "projection_dim": 16,
            "num_hidden_layers": 2,
        },
        projection_dim=16,
    )
    extractor = ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=_SAMPLING_RATE,
        hop_length=256,
        fft_window_size=1024,
        frequency_max=_SAMPLING_RATE // 2,
        max_length_s=1,
        truncation="rand_trunc",
    )
    _save(folder, ClapModel(config), extractor, byte_tokenizer(maximum=256))
