"""3MF files for printers' programs: millimetres and +z up, as the format itself says.

After the 3D Manufacturing Format, core specification 1.3: a ZIP with one model, one object.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.sax.saxutils import quoteattr

from numpy.typing import NDArray

from img2mesh.core.arrays import I32
from img2mesh.io.glb_container import clean_name, version

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP can hold: equal meshes, equal bytes
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_TYPES = (
    f'{_HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" '
    'ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    f'{_HEAD}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)


def threemf_bytes(vertices: NDArray[Any], faces: I32, name: str) -> bytes:
    """A closed body as a 3MF file.

    Args:
        vertices: (n, 3) millimetres, +z up.
        faces: (m, 3), outward by the right-hand rule.
        name: of the object.
    """
    points = "".join(f'<vertex x="{x:.6g}" y="{y:.6g}" z="{z:.6g}"/>' for x, y, z in vertices)
    corners = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in faces)
    model = (
        f'{_HEAD}<model unit="millimeter" xml:lang="en-US" '
        'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
        f'<metadata name="Application">img2mesh {version()}</metadata><resources>'
        f'<object id="1" type="model" name={quoteattr(clean_name(name))}><mesh>'
        f"<vertices>{points}</vertices><triangles>{corners}</triangles></mesh></object>"
        '</resources><build><item objectid="1"/></build></model>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = {"[Content_Types].xml": _TYPES, "_rels/.rels": _RELATIONS}
        for path, text in {**parts, "3D/3dmodel.model": model}.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text.encode())
    return out.getvalue()
