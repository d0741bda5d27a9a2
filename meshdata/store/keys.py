"""The only place a Redis key is spelt in Python; Lua builds the rest of a partition's keys from the same base.

Every key of a partition carries the partition's hash tag, so that one script may touch them all and a cluster may
spread partitions over its nodes. A job is named `<entity>:<id>`; the entity holds no colon, the id may.

Source: docs/keyspace.md.
"""

from zlib import crc32

GROUP = "g"
"""The one consumer group of every work stream."""

FORMAT = "1"
"""Version of the key layout, stored in `meta` and checked at connect."""


class Keys:
    """Spells the keys of one namespace that has `partitions` partitions."""

    __slots__ = ("_bases", "namespace", "partitions")

    def __init__(self, namespace: str, partitions: int = 1) -> None:
        self.namespace = namespace
        self.partitions = partitions
        tags = [namespace] if partitions == 1 else [f"{namespace}.{p}" for p in range(partitions)]
        self._bases = [f"mesh:{{{tag}}}:" for tag in tags]

    def base(self, partition: int) -> str:
        """The prefix of every key of a partition; also the routing key its scripts are called with."""
        return self._bases[partition]

    def partition(self, name: str) -> int:
        """The partition a job (`entity:id`) or a signal key belongs to."""
        return 0 if self.partitions == 1 else crc32(name.encode()) % self.partitions

    @property
    def meta(self) -> str:
        """Format version, partition count and creation time of the namespace."""
        return f"mesh:{{{self.namespace}}}:meta"

    def record(self, job: str) -> str:
        """The record hash of a job."""
        return f"{self._bases[self.partition(job)]}r:{job}"

    def graph(self, job: str) -> str:
        """The state of a graph job."""
        return f"{self._bases[self.partition(job)]}g:{job}"

    def header(self, job: str) -> str:
        """The header of a job."""
        return f"{self._bases[self.partition(job)]}j:{job}"

    def entry(self, entry: str) -> str:
        """What keeps the answer of a call; `entry` is "<topic>:<id>"."""
        return f"{self._bases[self.partition(entry)]}e:{entry}"

    def app(self, app: str) -> str:
        """The versions of an app of graphs."""
        return f"{self._bases[0]}app:{app}"

    def engines(self, app: str) -> str:
        """The living engines of an app of graphs."""
        return f"{self._bases[0]}engines:{app}"

    def statistics(self, partition: int, app: str, bucket: str, key: str) -> str:
        """The figures that an app has in a partition about the jobs of a key and a bucket of time."""
        return f"{self._bases[partition]}st:{app}:{bucket}:{key}"

    def record_prefix(self, partition: int, entity: str) -> str:
        """What every record key of an entity begins with in a partition; the prefix of its index."""
        return f"{self._bases[partition]}r:{entity}:"

    def work(self, partition: int, topic: str) -> str:
        """The stream that carries new work of a topic."""
        return f"{self._bases[partition]}q:{topic}"

    def continuations(self, partition: int, topic: str) -> str:
        """The stream that carries runs which go on; read before `work`."""
        return f"{self._bases[partition]}c:{topic}"

    def schedule(self, name: str) -> str:
        """The hash of a schedule, named "<entity>:<id>"."""
        return f"{self._bases[self.partition(name)]}s:{name}"

    def schedules(self, partition: int) -> str:
        """The names of a partition's schedules."""
        return f"{self._bases[partition]}schedules"

    @property
    def throttle(self) -> str:
        """How fast messages are taken in: the rate of all topics, and those of single ones."""
        return f"{self._bases[0]}throttle"

    @property
    def bus(self) -> str:
        """The channel of the control-plane bus."""
        return f"mesh:{{{self.namespace}}}:bus"

    def hint_channel(self, partition: int, process: str) -> str:
        """The channel on which a process hears of its own runs and of the jobs it awaits."""
        return f"{self._bases[partition]}hint:{process}"

    def timer_channel(self, partition: int) -> str:
        """The channel on which the next due time of the partition's timers is announced."""
        return f"{self._bases[partition]}timer-hint"

    def changes(self, partition: int, entity: str) -> str:
        """The stream of changes of an entity's records, while somebody watches."""
        return f"{self._bases[partition]}ch:{entity}"

    def changes_channel(self, partition: int, entity: str) -> str:
        """The channel on which is told that the stream of changes has grown."""
        return f"{self._bases[partition]}changed:{entity}"

    def parked(self, partition: int, topic: str) -> str:
        """Runs of a topic whose code does not fit their journal."""
        return f"{self._bases[partition]}parked:{topic}"

    def dead(self, partition: int) -> str:
        """The dead-letter stream."""
        return f"{self._bases[partition]}dead"

    def index(self, partition: int, entity: str, version: str) -> str:
        """One built index of an entity; `version` is a digest of its schema."""
        return f"{self._bases[partition]}idx:{entity}:v{version}"

    def alias(self, partition: int, entity: str) -> str:
        """The name queries use; points at the current `index`."""
        return f"{self._bases[partition]}idx:{entity}"
