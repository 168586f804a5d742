# MuJoCo's bindings are compiled and ship no stubs: every name is known and of any type.
from typing import Any

def __getattr__(name: str) -> Any: ...
