"""Have the SLURM plugin look at its jobs every second, where it waits 10 s longer after each look at which nothing had ended.

Python imports this by itself where it lies in its path. The rest of the plugin is as it is.
"""

import asyncio
import sys

if "--profile" in sys.orig_argv:
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    async def sleep(self) -> None:
        """Wait a second until the next look."""
        await asyncio.sleep(1)

    RemoteExecutor.sleep = sleep
