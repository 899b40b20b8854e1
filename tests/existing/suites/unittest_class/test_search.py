import unittest


class TestSearch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from sentence_transformers import SentenceTransformer

        cls.model = SentenceTransformer("acme/embedder", device="cpu")

    def test_one_vector_for_each_text(self):
        self.assertEqual(len(self.model.encode(["bitcoin", "a cat"])), 2)

    def test_the_same_vector(self):
        first, second = self.model.encode(["bitcoin", "bitcoin"])
        self.assertAlmostEqual(float(abs(first - second).max()), 0, places=5)


class TestTokens(unittest.TestCase):
    def setUp(self):
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained("acme/embedder")

    def test_tokens(self):
        self.assertTrue(self.tokenizer("bitcoin")["input_ids"])

    def test_that_fails(self):
        self.assertEqual(self.tokenizer("bitcoin")["input_ids"], "never")
