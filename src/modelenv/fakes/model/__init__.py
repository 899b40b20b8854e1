"""What a fake knows about its model: the config, the tokenizer and the chat template in its files."""
