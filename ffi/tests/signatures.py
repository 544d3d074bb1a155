#!/usr/bin/env python3
"""Compares what the wrappers on the C ABI repeat by hand with the generated headers: a difference is a failure.

.NET: every DllImport has a function of the same name, and each parameter and result the kind that C has there.
PHP: types come from mq.ffi.h itself; every call names a function of it and gives all of its arguments.
.NET, PHP and C++: the numbers of errors, events, answers, log levels and the like are those of mq.h.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Handles of .NET whose name is not that of the C type.
HANDLES = {"view": "message_view"}
NUMBERS = {
    "int": "int32_t",
    "uint": "uint32_t",
    "long": "int64_t",
    "ulong": "uint64_t",
    "UIntPtr": "size_t",
    "void": "void",
}
problems: list[str] = []


def problem(where: Path, text: str) -> None:
    problems.append(f"{where.relative_to(ROOT)}: {text}")


def read(path: str) -> tuple[Path, str]:
    file = ROOT / path
    return file, file.read_text(encoding="utf-8")


def header() -> dict[str, tuple[str, list[str]]]:
    """Give the result and the parameters' types of each function, without names, `const` and `struct`."""
    _, text = read("ffi/include/mq.ffi.h")
    functions = {}
    for result, name, parameters in re.findall(r"^([\w *]+?\**)\b(mq_\w+)\(([^)]*)\);", text, re.MULTILINE):
        types = [c_type(re.sub(r"\w+$", "", one.strip())) for one in parameters.split(",") if one.strip() != "void"]
        functions[name] = (c_type(result), types)
    return functions


def c_type(text: str) -> str:
    return re.sub(r"\s", "", re.sub(r"\b(const|struct)\b", "", text))


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def fits(given: str, wanted: str) -> bool:
    """Whether a type of C# is passed as this type of C."""
    if given in NUMBERS:
        return NUMBERS[given] == wanted
    if given == "IntPtr":
        return bool(re.fullmatch(r"(mq_\w+|char)\*", wanted))
    if given == "string":
        return wanted == "char*"
    if given == "byte*":
        return wanted in ("char*", "uint8_t*")
    if given.startswith("out "):
        return wanted.endswith("*") and fits(given[4:], wanted[:-1])
    if given.endswith("*") or given.endswith("[]"):
        return wanted.endswith("*") and fits(re.sub(r"(\*|\[\])$", "", given), wanted[:-1])
    handle = re.fullmatch(r"(\w+)Handle", given)
    if handle:
        name = snake(handle[1])
        return wanted == f"mq_{HANDLES.get(name, name)}*"
    return False


def dotnet(functions: dict[str, tuple[str, list[str]]]) -> int:
    file, text = read("dotnet/LibMq/Native.cs")
    imports = re.findall(r"static extern ([\w*]+) (\w+)\(([^;]*)\);", text)
    if len(imports) != text.count("[DllImport("):
        problem(file, f"{text.count('[DllImport(')} imports, of which {len(imports)} can be read")
    for result, name, parameters in imports:
        if name not in functions:
            problem(file, f"mq.h has no {name}")
            continue
        wanted_result, wanted = functions[name]
        given = []
        for parameter in (one.strip() for one in re.sub(r"\[[^]]+\] ?", "", parameters).split(",")):
            if parameter:
                given.append(parameter.rpartition(" ")[0])
        texts = parameters.count("[MarshalAs(UnmanagedType.LPUTF8Str)] string ")
        if texts != len([kind for kind in given if kind == "string"]):
            problem(file, f"{name}: a text is not passed as UTF-8")
        if len(given) != len(wanted):
            problem(file, f"{name}: {len(given)} parameters, mq.h has {len(wanted)}")
        for number, (kind, c_kind) in enumerate(zip(given, wanted), 1):
            if not fits(kind, c_kind):
                problem(file, f"{name}: parameter {number} is '{kind}', in mq.h '{c_kind}'")
        if not fits(result, wanted_result):
            problem(file, f"{name}: gives '{result}', in mq.h '{wanted_result}'")
    return len(imports)


def arguments(text: str, at: int) -> int:
    """Count the arguments of the call whose parenthesis was opened just before `at`."""
    depth, count, seen, trailing = 0, 0, False, False
    while True:
        char = text[at]
        if char in "'\"":
            at = text.index(char, at + 1)
        if char in ")]}" and depth == 0:
            return count + (seen and not trailing)
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            count, trailing = count + 1, True
        elif not char.isspace():
            seen, trailing = True, False
        at += 1


def php(functions: dict[str, tuple[str, list[str]]]) -> int:
    calls = 0
    parts = re.search(
        r"function parts\(\): array\s*\{\s*return \[(.*?)\];", read("php/src/MessageQueue.php")[1], re.DOTALL
    )
    for file in sorted((ROOT / "php/src").rglob("*.php")):
        text = file.read_text(encoding="utf-8")
        if parts:
            text = text.replace("...$queue->parts()", parts[1]).replace("$queue->parts()", f"[{parts[1]}]")
        # PullConsumer makes its calls by name; the consumer, the queue and the tag come to what is given here.
        for call in re.finditer(r"->wait\('(\w+)'(, \[)?", text):
            calls += 1
            name, given = f"mq_pull_consumer_{call[1]}_async", 3 + (arguments(text, call.end()) if call[2] else 0)
            wanted = len(functions[name][1]) if name in functions else "nothing of that name"
            if given != wanted:
                problem(file, f"{name}: {given} arguments, mq.h has {wanted}")
        for kind in re.findall(r"Handle::make\(\s*'(\w+)'", text) + re.findall(r"'(mq_\w+)_free'", text):
            if f"{kind}_free" not in functions:
                problem(file, f"mq.h has no {kind}_free")
        for call in re.finditer(r"->\s*(mq_\w+)\(", text):
            name, given = call[1], arguments(text, call.end())
            calls += 1
            if text[call.end() : call.end() + 4] == "...)":
                continue  # a closure of it, whose arguments are elsewhere
            if name not in functions:
                problem(file, f"mq.h has no {name}")
            elif given != len(functions[name][1]):
                problem(file, f"{name}: {given} arguments, mq.h has {len(functions[name][1])}")
    return calls


def constants() -> int:
    """Compare numbers that the wrappers have by name."""
    _, text = read("ffi/include/mq.h")
    known = {name: int(value) for name, value in re.findall(r"^#define MQ_(\w+) (\d+)$", text, re.MULTILINE)}
    family = {kind: {name for name in known if name.startswith(kind + "_")} for kind in ("ERR", "SEND", "EVENT", "LOG")}
    compared = 0

    def compare(path: str, pattern: str, kind: str, all_of_them: bool = True) -> None:
        nonlocal compared
        file, source = read(path)
        body = re.search(pattern, source, re.DOTALL)
        pairs = re.findall(r"\b(\w+) = (\d+)\s*[,;]", body[1]) if body else []
        found = {f"{kind}_{snake(name).upper().removeprefix(kind + '_')}": int(value) for name, value in pairs}
        if not found:
            problem(file, f"no numbers of {kind} found")
        for name, value in found.items():
            compared += 1
            if known.get(name) != value:
                problem(file, f"{name} is {value}, in mq.h {known.get(name)}")
        missing = family[kind] - found.keys()
        if all_of_them and missing:
            problem(file, f"not there: {', '.join(sorted(missing))}")

    compare("dotnet/LibMq/MqException.cs", r"enum MqErrorCode\s*\{(.*?)\n    \}", "ERR")
    compare("dotnet/LibMq/SendReceipt.cs", r"enum SendStatus\s*\{(.*?)\n    \}", "SEND")
    compare("dotnet/LibMq/MqLog.cs", r"enum LogLevel\s*\{(.*?)\n    \}", "LOG")
    compare("dotnet/LibMq/Native.cs", r"class Native\s*\{(.*?)private const", "EVENT")
    compare("php/src/Internal/Library.php", r"class Library\s*\{(.*?)private", "EVENT")
    compare("php/src/SendStatus.php", r"enum SendStatus: int\s*\{(.*?)\n\}", "SEND")
    compare("cpp/include/libmq/libmq.hpp", r"enum class ErrorCode : std::int32_t \{(.*?)\};", "ERR")
    for path, pattern in (
        ("dotnet/LibMq/Native.cs", r"Compiled = (\d+);"),
        ("php/src/Internal/Library.php", r"ABI_VERSION = (\d+);"),
    ):
        file, source = read(path)
        version = re.search(pattern, source)
        compared += 1
        if version is None or int(version[1]) > known["ABI_VERSION"]:
            problem(file, f"interface version {version and version[1]}, mq.h has {known['ABI_VERSION']}")
    return compared


def main() -> int:
    functions = header()
    declared = {line for line in read("ffi/symbols.txt")[1].split() if line}
    if functions.keys() != declared:
        problem(ROOT / "ffi/include/mq.ffi.h", f"cannot be read: {sorted(functions.keys() ^ declared)}")
    imports, calls, numbers = dotnet(functions), php(functions), constants()
    for text in problems:
        print(text, file=sys.stderr)
    print(f"signatures: {imports} imports of .NET, {calls} calls of PHP, {numbers} numbers compared")
    return int(bool(problems) or not (imports and calls and numbers))


if __name__ == "__main__":
    sys.exit(main())
