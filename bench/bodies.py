"""Chat bodies as clients send them: a shared system prompt, then turns of prose, code and other scripts."""

import json
import random

SYSTEM = (
    "You are the assistant of an engineering team. Answer briefly, cite file names and lines, and say so when you do "
    'not know. Write code in fenced blocks. Today is "Monday"; the repository is a Rust workspace.\n'
)
WORDS = (
    "the a of to request answer queue cache prefix token model server endpoint pool route listener because when while "
    "latency throughput window stream chunk header body gateway picks sends holds measures first second slow busy idle "
    "memory bandwidth schedule batch decode prefill adapter weight priority deadline retry drain release reserve"
).split()
CODE = (
    "fn main() -> Result<(), Error> {{\n\tlet path = \"C:\\\\logs\\\\{0}.txt\";\n\tprintln!(\"{{}} took {1} ms\\n\", path);\n"
    "\tif total > {1} {{ return Err(Error::new(\"too slow: {0}\")); }}\n\tOk(())\n}}\n"
)
OTHER_SCRIPTS = ("Größe über alles", "模型服务器的队列很长", "модель отвечает медленно", "キャッシュを確認して", "🚂 ready?")


def chat_body(size: int, seed: int) -> bytes:
    """A chat request of exactly `size` bytes (at least 1,024); equal for equal arguments."""
    choice = random.Random(seed)
    messages = [{"role": "system", "content": SYSTEM}]
    length = len(encoded(messages))
    while length < size - 700:  # room for one more turn, the largest of which is below 700 bytes
        role = "user" if len(messages) % 2 else "assistant"
        turn = {"role": role, "content": paragraph(choice)}
        messages.append(turn)
        length += len(json.dumps(turn, ensure_ascii=False).encode()) + 2
    messages.append({"role": "user", "content": ""})
    missing = size - len(encoded(messages))
    while missing > 0:
        words = (choice.choice(WORDS) + " " for _ in range(missing // 4 + 1))
        messages[-1]["content"] += "".join(words)[:missing]
        missing = size - len(encoded(messages))
    return encoded(messages)


def encoded(messages: list[dict]) -> bytes:
    request = {"model": "chatbot", "messages": messages, "temperature": 0.2, "max_tokens": 256, "user": "bench"}
    return json.dumps(request, ensure_ascii=False).encode()


def paragraph(choice: random.Random) -> str:
    kind = choice.random()
    if kind < 0.25:
        return CODE.format(choice.choice(WORDS), choice.randrange(1000))
    if kind < 0.35:
        return choice.choice(OTHER_SCRIPTS) + "\n"
    words = (choice.choice(WORDS) for _ in range(choice.randrange(20, 60)))
    return '"' + " ".join(words).capitalize() + '."\n'
