"""`python -m sentiment_service TEXT...`: classify each text, and print one line of JSON for each."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from modelenv import ModelEnvError
from sentiment_service.collector import SentimentCollector


async def judge(texts: list[str], kind: str, env_file: str | None) -> None:
    """Print the sentiment of each text, and its similarity to the first one."""
    collector = SentimentCollector(env_file)
    environment = collector.models.environment.value
    for text, found in zip(texts, await collector.collect(texts, kind), strict=True):
        answer = {"text": text, "environment": environment, **found}
        if text is not texts[0]:
            answer["similarity"] = await collector.similarity(texts[0], text)
        print(json.dumps(answer))


def main() -> int:
    """Run the command line. An error of modelenv ends it with its message and exit code 1."""
    parser = argparse.ArgumentParser(prog="sentiment_service")
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--kind", choices=["crypto", "stock"], default="crypto")
    parser.add_argument("--env-file")
    arguments = parser.parse_args()
    try:
        asyncio.run(judge(arguments.texts, arguments.kind, arguments.env_file))
    except ModelEnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
