"""What a fake knows of its model: the config, the tokenizer and the chat template in its files."""
