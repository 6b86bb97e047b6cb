"""What runs in the sandbox around a marketer's script.

A script runs inside of another one. So its line numbers are its own, the names that this one uses cannot be changed under it, and what
comes back is short: of what a script returns or leaves, the sandbox would send all its 64 MB.
"""

MOST_RETURN_URL = 4_000
"""Characters of a `returnUrl` that leave the sandbox."""

# All of a source is read before its first line runs. So one that parses divides by zero here, and one that does so only while `import` is
# another word has an import in it.
_READ = r"""
def problem_of(text):
    try:
        exec("1/0\n" + text, {})
    except (ZeroDivisionError, NotImplementedError, ImportError):
        return ""
    except SyntaxError as problem:
        return str(problem)

if "import" in source:
    problem = problem_of(source.replace("import", "Import"))
    if problem and not problem_of(source):
        raise ImportError(problem)
"""
PARSE = (
    _READ
    + r"""
exec("1/0\n" + source, {})
"""
)

# `exec` and `eval` are hidden because they import, and `locals` because it takes hidden names away.
RUN = rf"""{_READ}
def hidden(name):
    def call(*values, **named):
        raise NameError("name '" + name + "' is not defined")
    return call

variables["exec"] = hidden("exec")
variables["eval"] = hidden("eval")
variables["locals"] = hidden("locals")
exec("\n" + source, variables)
left = variables.get("returnUrl", "")
left[:{MOST_RETURN_URL + 1}] if type(left) is str else None
"""
