from erasediff_pipeline.pipelines.sign.pipeline import create_signing_pipeline, create_verifying_pipeline

__all__ = ["create_signing_pipeline", "create_verifying_pipeline"]
