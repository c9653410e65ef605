"""Other servers with the files of a cluster, as a restore, a failover or a copy of a disk makes them."""

import os
import pathlib
import subprocess
import time

import psycopg
from soak import Cluster


class RestoredCluster(Cluster):
    """A throw-away Postgres whose files are those that another one had at some time."""

    def __init__(self, source: Cluster, name: str) -> None:
        super().__init__(name)
        with psycopg.connect(source.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('data_directory'), (SELECT setting FROM pg_config WHERE name = 'BINDIR'),"
                " current_setting('port')"
            ).fetchone()
        assert row is not None
        self._source = source
        self._source_data = pathlib.Path(row[0])
        self._binaries = pathlib.Path(row[1])
        self._source_port = row[2]
        self._instance = self._source_data.parent.parent / name
        self._data = self._instance / "data"

    def take_backup(self) -> None:
        """A base backup, of a server that runs. It knows of no slots."""
        self._make_folder()
        options = ("--checkpoint", "fast", "--no-sync")
        subprocess.run(
            [self._binaries / "pg_basebackup", "--dbname", self._source.url, "--pgdata", self._data, *options],
            check=True,
            capture_output=True,
        )
        self._take_over()

    def copy_files(self) -> None:
        """All of the files, slots too, of a server that is stopped meanwhile."""
        self._source.stop()
        self._make_folder()
        subprocess.run(["cp", "-a", self._source_data, self._data], check=True)
        self._take_over()
        self._source.start()

    def recover(self) -> None:
        """Starts it from a backup: with what the backup has of the log, on a timeline of its own."""
        self._configure("restore_command = 'false'")
        self._signal("recovery.signal")
        self.start_and_wait(primary=True)

    def follow(self, slot: str) -> None:
        """Starts it from a backup as a standby of its source, with the slots that are to outlive a failover."""
        folder = self._source_data.parent
        self._configure(
            f"primary_conninfo = 'host={folder} port={self._source_port} user=postgres dbname=postgres'",
            f"primary_slot_name = '{slot}'",
            "hot_standby_feedback = on",
            "sync_replication_slots = on",
            # Not the source's: as the primary it has no standby, and would wait for one with all that it sends.
            "synchronized_standby_slots = ''",
        )
        self._signal("standby.signal")
        self.start_and_wait(primary=False)

    def promote(self) -> None:
        """Makes a primary of the standby."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        self.start_and_wait(primary=True)

    def start_and_wait(self, primary: bool) -> None:
        """Until it is what it is to be. One that recovers refuses what `start` makes sure of at the end."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.start()
                with psycopg.connect(self.url, autocommit=True) as connection:
                    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                if row is not None and row[0] == (not primary):
                    return
            except (subprocess.CalledProcessError, psycopg.OperationalError):
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, "the restored server did not get there in time"
            time.sleep(0.2)

    def _make_folder(self) -> None:
        self._instance.mkdir(mode=0o700)
        self._give_to_owner(self._instance)

    def _take_over(self) -> None:
        """Its settings are its own, not its source's."""
        configuration = self._data / "postgresql.conf"
        text = configuration.read_text()
        theirs, ours = f"{self._source_data.parent}/vizinho.conf", f"{self._instance}/vizinho.conf"
        assert theirs in text
        configuration.write_text(text.replace(theirs, ours))
        for path in [self._data, *self._data.rglob("*")]:
            self._give_to_owner(path)

    def _configure(self, *lines: str) -> None:
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _signal(self, name: str) -> None:
        (self._data / name).touch()
        self._give_to_owner(self._data / name)

    def _give_to_owner(self, path: pathlib.Path) -> None:
        """Root makes files that are another user's: the server's."""
        owner = self._source_data.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
