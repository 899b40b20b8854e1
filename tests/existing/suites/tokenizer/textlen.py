from transformers import AutoTokenizer


def count_tokens(text):
    return len(AutoTokenizer.from_pretrained("acme/classifier")(text)["input_ids"])
