"""The faults of the drills: what is done to the active node, and how it is healed afterwards."""
import signal

from .processes import send_signal


def _restart_if_gone(world, node):
    if node.guard_pid() is None:
        node.start()


def kill_worker(world, node):
    send_signal(node.worker_pid(), signal.SIGKILL)
    return lambda: _restart_if_gone(world, node)


def kill_all(world, node):
    node.signal_all(signal.SIGKILL)

    def heal():
        node.process.wait()
        node.start()
    return heal


def stop_worker(world, node):
    pid = node.worker_pid()
    send_signal(pid, signal.SIGSTOP)

    def heal():
        # The guard has ended it, if all is well.
        send_signal(pid, signal.SIGCONT)
        _restart_if_gone(world, node)
    return heal


def stop_all(world, node):
    node.signal_all(signal.SIGSTOP)

    def heal():
        node.signal_all(signal.SIGCONT)
        _restart_if_gone(world, node)
    return heal


def host_down(world, node):
    world.network.set_links(node.name, False)
    return lambda: world.network.set_links(node.name, True)


def database_cut(world, node):
    world.network.cut(node.name, world.network.host_address)
    return lambda: world.network.mend(node.name)


def switchover(world, node):
    node.hactl("switchover")
    return lambda: None


def postgres_restart(world, node):
    # As a crash: what was acknowledged has to survive recovery.
    world.database.restart(crash=True)
    world.note_process(world.database.process.pid)
    return lambda: None


FAULTS = {
    "kill-worker": kill_worker, "kill-all": kill_all, "stop-worker": stop_worker, "stop-all": stop_all,
    "host-down": host_down, "database-cut": database_cut, "switchover": switchover,
    "postgres-restart": postgres_restart,
}
