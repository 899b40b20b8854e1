import service


def test_answer(transformers):
    assert service.answer("good news") == "POSITIVE"
    transformers.pipeline.assert_called_once_with("text-classification", model="acme/classifier")


def test_another(transformers):
    transformers.pipeline.return_value.return_value = [{"label": "NEGATIVE"}]
    assert service.answer("bad news") == "NEGATIVE"


def test_that_fails():
    assert service.answer("bad news") == "NEGATIVE"
