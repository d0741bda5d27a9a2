"""Lua on the fake server, made quick: each script is compiled once, where fakeredis compiles it anew for each call.

Only our own scripts run there, so what fakeredis does besides is left out: it looks for forbidden globals before each
command of a script, and has Lua collect its garbage after each script. A call costs a quarter of what it did.

Source: `ScriptingCommandsMixin` of fakeredis 2.40; `tests/integration/test_fake.py` compares the replies with those of
a real server.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fakeredis import _msgs as messages
from fakeredis._commands import COMMANDS_WITH_SUB
from fakeredis._helpers import SimpleError
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE


class QuickScripts:
    """Stands before fakeredis' own connection class; takes its EVAL and `redis.call` over."""

    _server: Any
    _script_resp: Any

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> Any:
        """EVAL; EVALSHA looks the script up and comes here too."""
        server, me = self._server, self._as_any()
        runtime = me._get_server_runtime(server)
        compiled = getattr(server, "meshdata_compiled", None)
        if compiled is None:
            compiled = server.meshdata_compiled = {}
        known = compiled.get(script)
        if known is None:
            sha = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
            try:
                known = compiled[script] = (runtime.compile(script), sha)
            except LUA_MODULE.LuaSyntaxError as error:
                raise SimpleError(messages.SCRIPT_ERROR_MSG.format("", error)) from error
        function, sha = known
        server.script_cache[sha] = script
        server._lua_current_socket[0] = self
        self._script_resp = 2
        server._lua_set_keys_argv(
            runtime.table_from(keys_and_args[:numkeys]), runtime.table_from(keys_and_args[numkeys:])
        )
        try:
            result = function()
        except LUA_MODULE.LuaError as error:
            raise SimpleError(messages.SCRIPT_ERROR_MSG.format("", error)) from error
        finally:
            self._script_resp = None
        return me._convert_lua_result(result, nested=False)

    def _lua_redis_call(self, runtime: Any, _globals: Any, verb: bytes, *args: Any) -> Any:
        name = verb.decode().lower()
        if name in COMMANDS_WITH_SUB and args:
            name += " " + args[0].decode().lower()
            args = args[1:]
        me = self._as_any()
        function, signature = me._name_to_func(name)
        result = me._run_command(function, signature, [_text(arg) for arg in args], True)
        if type(result) is bytes or type(result) is int:
            return result
        return me._convert_redis_result(runtime, result)

    def _as_any(self) -> Any:
        """This object as what it is together with fakeredis' class."""
        return self


def _text(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is int or type(value) is float:
        return b"%.17g" % value
    raise SimpleError(messages.LUA_COMMAND_ARG_MSG)
