from erasediff_pipeline.pipelines.unlearn.pipeline import create_pipeline

__all__ = ["create_pipeline"]
