"""Opsin's tables as SQLAlchemy mapped classes, for the peers that start from them.

Only what the cases read: a column that nobody asks for costs nobody anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import JSON, DateTime, ForeignKey, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from bench.reads.tools import CONNECTIONS


class Base(DeclarativeBase):
    """The mapped classes."""

    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), dict[str, Any]: JSON}


class Dataset(Base):
    __tablename__ = "datasets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    images: Mapped[list[Image]] = relationship(back_populates="dataset", order_by="Image.id")


class Image(Base):
    __tablename__ = "images"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    dataset_id: Mapped[UUID] = mapped_column(ForeignKey("datasets.id"))
    filename: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    dataset: Mapped[Dataset] = relationship(back_populates="images")
    analyses: Mapped[list[Analysis]] = relationship(back_populates="image", order_by="Analysis.id")


class Analysis(Base):
    __tablename__ = "analyses"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(ForeignKey("images.id"))
    model_name: Mapped[str]
    status: Mapped[str]
    created_at: Mapped[datetime]
    image: Mapped[Image] = relationship(back_populates="analyses")
    annotations: Mapped[list[Annotation]] = relationship(
        back_populates="analysis", order_by="Annotation.id"
    )


class Annotation(Base):
    __tablename__ = "annotations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    analysis_id: Mapped[UUID] = mapped_column(ForeignKey("analyses.id"))
    annotation_type: Mapped[str]
    class_name: Mapped[str | None]
    confidence: Mapped[float | None]
    data: Mapped[dict[str, Any]]
    analysis: Mapped[Analysis] = relationship(back_populates="annotations")


def sessions(url: str) -> async_sessionmaker[AsyncSession]:
    """Sessions on a pool of asyncpg's connections."""
    driver = make_url(url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(driver, pool_size=CONNECTIONS, max_overflow=0)
    return async_sessionmaker(engine, expire_on_commit=False)
