"""A Kafka cluster that is only read from: somebody else's, as a source."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from tocsin.log.kafka import KafkaLog


class KafkaReader(KafkaLog):
    """A KafkaLog that opens no producer: whoever may only read would not be let."""

    async def start(self) -> None:
        """Connect; see KafkaLog.start."""
        try:
            async with self.connection.deadline("connecting"):
                self._admin = AIOKafkaAdminClient(**self.connection.options())
                await self._admin.start()
        except BaseException:
            await self.close()
            raise
