def answer(text):
    from transformers import pipeline

    return pipeline("text-classification", model="acme/classifier")(text)[0]["label"]
