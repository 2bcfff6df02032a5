from erasediff_pipeline.pipelines.release.pipeline import create_pipeline

__all__ = ["create_pipeline"]
