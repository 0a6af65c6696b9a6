"""USDZ packages through OpenUSD (extra ``usd``): metres, y up, UsdPreviewSurface."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from img2mesh.core.arrays import U8
from img2mesh.errors import Img2MeshError, missing_extra
from img2mesh.geometry.mesh import unit_normals
from img2mesh.io.glb_container import clean_name, version
from img2mesh.io.gltf import ROUGHNESS, Textured, png_bytes

_DATE = 315_619_200  # 2 January 1980, just after the earliest date that ZIP can hold


def write_usdz(asset: Textured, path: Path) -> None:
    """Write the asset as one USDZ package.

    Raises:
        MissingExtraError: OpenUSD is not installed.
        Img2MeshError: OpenUSD could not write the package.
    """
    try:
        from pxr import Tf
    except ImportError as cause:
        raise missing_extra("usd-core", extra="usd", purpose="a .usdz file") from cause

    try:
        _write(asset, path)
    except Tf.ErrorException as cause:  # OpenUSD's own, also for a full disk
        reason = str(cause).strip().splitlines()
        raise Img2MeshError(
            f"{path} cannot be written as USDZ: {reason[-1] if reason else 'unknown cause'}"
        ) from cause


def _write(asset: Textured, path: Path) -> None:
    from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, Vt

    with tempfile.TemporaryDirectory(prefix="img2mesh-usd-") as folder:
        layer, pictures = Path(folder) / "mesh.usdc", list[Path]()
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.GetRootLayer().comment = f"img2mesh {version()}"
        root = UsdGeom.Xform.Define(stage, "/Asset")
        # Prim names allow little; the real name travels as the display name.
        root.GetPrim().SetDisplayName(clean_name(asset.name))
        stage.SetDefaultPrim(root.GetPrim())

        mesh = UsdGeom.Mesh.Define(stage, "/Asset/Mesh")
        # Positions are sewn and only normals and uv are given per corner, so that the surface is
        # closed as it stands.
        joined = asset.joined
        corners = asset.faces.reshape(-1)
        mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(joined.vertices))
        mesh.CreateFaceVertexCountsAttr(
            Vt.IntArray.FromNumpy(np.full(len(asset.faces), 3, np.int32))
        )
        mesh.CreateFaceVertexIndicesAttr(
            Vt.IntArray.FromNumpy(np.ascontiguousarray(joined.faces.reshape(-1)))
        )
        mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        low, high = joined.vertices.min(axis=0), joined.vertices.max(axis=0)
        mesh.CreateExtentAttr([Gf.Vec3f(*map(float, low)), Gf.Vec3f(*map(float, high))])
        mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(unit_normals(asset.normals)[corners]))
        mesh.SetNormalsInterpolation(UsdGeom.Tokens.faceVarying)
        st = asset.uv[corners].copy()
        st[:, 1] = 1 - st[:, 1]  # USD's origin is the bottom left of the picture
        primvar = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying
        )
        primvar.Set(Vt.Vec2fArray.FromNumpy(st))

        material = UsdShade.Material.Define(stage, "/Asset/Material")
        surface = UsdShade.Shader.Define(stage, "/Asset/Material/Surface")
        surface.CreateIdAttr("UsdPreviewSurface")
        if asset.orm_map is None:
            surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(ROUGHNESS)
            surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
        reader = UsdShade.Shader.Define(stage, "/Asset/Material/Coordinates")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)

        def sampled(node: str, picture: U8, space: str) -> Any:
            file = Path(folder) / f"{node.lower()}.png"
            file.write_bytes(png_bytes(picture))
            pictures.append(file)
            return _texture(material, node, file.name, space, coordinates)

        colour = sampled("Texture", asset.texture, "sRGB")
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(
            colour.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
        )
        if asset.normal_map is not None:
            normal = sampled("Normal", asset.normal_map, "raw")
            normal.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(2, 2, 2, 1))
            normal.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
            surface.CreateInput("normal", Sdf.ValueTypeNames.Normal3f).ConnectToSource(
                normal.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
            )
        if asset.orm_map is not None:
            packed = sampled("Orm", asset.orm_map, "raw")
            for channel, name in zip("rgb", ("occlusion", "roughness", "metallic"), strict=True):
                surface.CreateInput(name, Sdf.ValueTypeNames.Float).ConnectToSource(
                    packed.CreateOutput(channel, Sdf.ValueTypeNames.Float)
                )
        material.CreateSurfaceOutput().ConnectToSource(
            surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
        )
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        stage.GetRootLayer().Save()
        del stage

        writer = Sdf.ZipFileWriter.CreateNew(str(path))
        for file in (
            layer,
            *pictures,
        ):  # the package records their dates: equal assets, equal bytes
            os.utime(file, (_DATE, _DATE))
        with writer:  # the layer must come first, uncompressed and aligned: the writer does both
            writer.AddFile(str(layer), "mesh.usdc")
            for file in pictures:
                writer.AddFile(str(file), file.name)


def _texture(material: Any, node: str, file: str, space: str, coordinates: Any) -> Any:
    """A shader node under the material that looks a picture up at the coordinates."""
    from pxr import Sdf, UsdShade

    path = material.GetPath().AppendChild(node)
    sampler = UsdShade.Shader.Define(material.GetPrim().GetStage(), path)
    sampler.CreateIdAttr("UsdUVTexture")
    sampler.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"./{file}")
    sampler.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
    for wrap in ("wrapS", "wrapT"):
        sampler.CreateInput(wrap, Sdf.ValueTypeNames.Token).Set("clamp")
    sampler.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
    return sampler
