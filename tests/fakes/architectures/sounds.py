"""Audio models: the sampling rates and channels of generated sounds, and transcriptions."""

from __future__ import annotations

from typing import Any

from modelenv.tiny.vocabulary import byte_tokenizer, vocabulary_size

from ..media.inputs import noise
from ..structure import describe
from .architecture import Architecture, Processor, labelled, small, two_sided

_LABELS = labelled("yes", "no", "up")
_CONVOLUTIONS = {
    "conv_dim": [8, 8, 8], "conv_kernel": [10, 8, 8], "conv_stride": [5, 8, 8], "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16,
}  # fmt: skip
_WHISPER = {"num_mel_bins": 16, "max_source_positions": 50, "vocab_size": vocabulary_size(), **two_sided()}


def _codec(rate: int) -> dict[str, Any]:
    return {
        "model_type": "encodec", "sampling_rate": rate, "audio_channels": 1, "hidden_size": 16, "num_filters": 4,
        "codebook_size": 64, "codebook_dim": 16, "upsampling_ratios": [8, 5, 4, 2], "num_lstm_layers": 1,
        "target_bandwidths": [3.0],
    }  # fmt: skip


def _heard_rate(answer: Any) -> str:
    """Describe sounds by their rates and channels, because their lengths depend on the model."""
    if isinstance(answer, list):
        return "[" + ", ".join(map(_heard_rate, answer)) + "]"
    audio = answer["audio"]
    channels = audio.shape[0] if audio.ndim > 1 else 1
    return f"{', '.join(answer)}: {audio.dtype}, {channels} channels at {answer['sampling_rate']}"


def _musicgen(rate: int, channels: int) -> Architecture:
    decoder = {
        "model_type": "musicgen_decoder", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "ffn_dim": 16,
        "num_codebooks": 4 * channels, "audio_channels": channels, "pad_token_id": 64, "bos_token_id": 64,
        "max_position_embeddings": 64,
    }  # fmt: skip
    text = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2,
            "vocab_size": vocabulary_size()}  # fmt: skip
    generation = {"max_new_tokens": 8, "pad_token_id": 64, "bos_token_id": 64, "decoder_start_token_id": 64}
    return Architecture(
        "text-to-audio", f"musicgen at {rate}, {channels} channels", "musicgen", "MusicgenForConditionalGeneration",
        {"text_encoder": text, "audio_encoder": _codec(rate), "decoder": decoder},
        (Processor(make=byte_tokenizer),), lambda: "hello", describe=_heard_rate, generation=generation, by_lock=True,
    )  # fmt: skip


def _classifier(kind: str, head: str, processor: Processor, **config: Any) -> Architecture:
    return Architecture(
        "audio-classification", kind, kind, head, {**config, **_LABELS}, (processor,), noise,
        ({}, {"top_k": None}), by_lock=True,
    )  # fmt: skip


ARCHITECTURES = (
    _musicgen(16_000, 1),
    _musicgen(22_050, 2),
    _classifier("hubert", "HubertForSequenceClassification", Processor("Wav2Vec2FeatureExtractor"),
                **_CONVOLUTIONS, **small()),
    _classifier("whisper", "WhisperForAudioClassification",
                Processor("WhisperFeatureExtractor", {"feature_size": 16, "chunk_length": 1}), **_WHISPER),
    _classifier("audio-spectrogram-transformer", "ASTForAudioClassification",
                Processor("ASTFeatureExtractor", {"max_length": 128, "num_mel_bins": 16}), max_length=128,
                num_mel_bins=16, **small()),
    Architecture(
        "automatic-speech-recognition", "speech_to_text", "speech_to_text", "Speech2TextForConditionalGeneration",
        {"vocab_size": vocabulary_size(), "input_feat_per_channel": 16, "conv_channels": 16,
         "max_source_positions": 200, **two_sided()},
        (Processor("Speech2TextFeatureExtractor", {"feature_size": 16, "num_mel_bins": 16}),
         Processor(make=byte_tokenizer)), noise,
        ({}, {"return_timestamps": "word"}, {"return_timestamps": True}, {"return_language": True}),
        describe, {"max_new_tokens": 4, "decoder_start_token_id": 1},
    ),
)  # fmt: skip
