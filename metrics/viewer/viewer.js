"use strict";
// The page of `morphloop view`: draws bodies with WebGL, plays them, and lists the clips. Nothing is fetched but from
// the server that gave the page; a shared page holds everything.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const rows = data.rows,
  bodies = data.bodies,
  cache = new Map(Object.entries(data.clips).map(([k, v]) => [+k, v]));
const PAGE = 100;
const COLOURS = {
  clip: [0.42, 0.54, 0.72],
  before: [0.66, 0.6, 0.56],
  reference: [0.75, 0.8, 0.9],
  kept: [0.62, 0.52, 0.7],
};
const TOUCH = [0.14, 0.59, 0.35],
  SLIDE = [0.88, 0.54, 0],
  AIR = [0.65, 0.67, 0.71],
  SUNK = [0.8, 0.16, 0.2];
const NAMES = { clip: "", before: "before", reference: "reference" };
const LEVELS = [0.1, 0.25, 0.5, 1, 2, 4];
const state = {
  here: 0,
  kept: null,
  frame: 0,
  playing: false,
  speed: 1,
  page: 0,
  sort: "",
  down: true,
  turn: 0.9,
  tilt: 0.22,
  far: 3.6,
  order: [],
};

// ---- numbers that came packed
function bytes(text) {
  const raw = atob(text),
    out = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) out[k] = raw.charCodeAt(k);
  return out.buffer;
}
function unpack(clip) {
  for (const side of Object.values(clip.sides)) {
    if (side.ready) continue;
    side.poses = new Int16Array(bytes(side.places));
    side.slide = new Int16Array(bytes(side.line.slide));
    side.height = new Int16Array(bytes(side.line.height));
    side.flags = new Uint8Array(bytes(side.line.flags));
    side.load = side.force ? new Uint8Array(bytes(side.force)) : null;
    side.places = null;
    side.ready = true;
  }
  return clip;
}

// ---- vectors, matrices by column
const turned = (q, v) => {
  const [w, x, y, z] = q,
    [a, b, c] = v;
  const s = 2 * (y * c - z * b),
    t = 2 * (z * a - x * c),
    u = 2 * (x * b - y * a);
  return [a + w * s + y * u - z * t, b + w * t + z * s - x * u, c + w * u + x * t - y * s];
};
const product = (p, q) => [
  p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3],
  p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2],
  p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1],
  p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0],
];
function matrix(q) {
  const n = Math.hypot(...q) || 1,
    [w, x, y, z] = q.map((v) => v / n);
  return [
    1 - 2 * (y * y + z * z),
    2 * (x * y + w * z),
    2 * (x * z - w * y),
    2 * (x * y - w * z),
    1 - 2 * (x * x + z * z),
    2 * (y * z + w * x),
    2 * (x * z + w * y),
    2 * (y * z - w * x),
    1 - 2 * (x * x + y * y),
  ];
}
function along(from, to) {
  // the turn that takes z to a direction
  const d = [to[0] - from[0], to[1] - from[1], to[2] - from[2]],
    n = Math.hypot(...d) || 1e-9;
  const [x, y, z] = d.map((v) => v / n);
  const turn = z < -0.9999 ? [0, 1, 0, 0] : [1 + z, -y, x, 0],
    size = Math.hypot(...turn);
  return { turn: turn.map((v) => v / size), length: n };
}
function camera(eye, at, aspect) {
  let f = [at[0] - eye[0], at[1] - eye[1], at[2] - eye[2]];
  const n = Math.hypot(...f);
  f = f.map((v) => v / n);
  const r0 = Math.hypot(f[1], f[0]) || 1e-9,
    r = [f[1] / r0, -f[0] / r0, 0];
  const u = [r[1] * f[2] - r[2] * f[1], r[2] * f[0] - r[0] * f[2], r[0] * f[1] - r[1] * f[0]];
  const near = 0.05,
    farthest = 80,
    s = 1 / Math.tan(0.32),
    sx = s / aspect;
  const a = -(farthest + near) / (farthest - near),
    b = (-2 * farthest * near) / (farthest - near);
  const dot = (v) => v[0] * eye[0] + v[1] * eye[1] + v[2] * eye[2];
  return [
    sx * r[0],
    s * u[0],
    -a * f[0],
    f[0],
    sx * r[1],
    s * u[1],
    -a * f[1],
    f[1],
    sx * r[2],
    s * u[2],
    -a * f[2],
    f[2],
    -sx * dot(r),
    -s * dot(u),
    a * dot(f) + b,
    -dot(f),
  ];
}

// ---- drawing
const canvas = $("view"),
  gl = canvas.getContext("webgl", { alpha: false, antialias: true, preserveDrawingBuffer: true });
const tools = gl ? setUp() : null,
  BLIND = "this browser draws no WebGL: figures and timeline alone";

function setUp() {
  const fine = gl.getExtension("OES_standard_derivatives");
  gl.getExtension("OES_element_index_uint");
  const body = program(
    `precision highp float; attribute vec3 p, n; uniform mat4 eye; uniform mat3 turn; uniform vec3 size, at;
    uniform float flat_; varying vec3 normal; varying float high;
    void main() { vec3 w = turn * (size * p) + at; normal = normalize(turn * (n / size)); high = w.z;
      if (flat_ > 0.5) { float h = max(w.z, 0.0); w = vec3(w.xy + h * vec2(-0.35, 0.25), 0.003); }
      gl_Position = eye * vec4(w, 1.0); }`,
    `precision highp float; uniform vec3 colour; uniform float flat_, ghost; varying vec3 normal; varying float high;
    void main() { if (flat_ > 0.5) { if (high < 0.0) discard; gl_FragColor = vec4(colour, 1.0); return; }
      float light = 0.62 + 0.38 * dot(normalize(normal), normalize(vec3(0.45, -0.35, 0.85)));
      gl_FragColor = vec4(colour * light, ghost); }`,
  );
  const floor = program(
    `precision highp float; attribute vec3 p; uniform mat4 eye; uniform vec3 middle; varying vec2 w;
    void main() { w = p.xy * 14.0 + middle.xy; gl_Position = eye * vec4(w, 0.0, 1.0); }`,
    `${fine ? "#extension GL_OES_standard_derivatives : enable" : ""}
    precision highp float; uniform vec3 middle; varying vec2 w;
    void main() { vec2 cell = abs(fract(w / 0.5 - 0.5) - 0.5) * 0.5;
      vec2 wide = ${fine ? "fwidth(w) * 0.8 + 0.002" : "vec2(0.012)"};
      float line = 1.0 - min(smoothstep(0.0, wide.x, cell.x), smoothstep(0.0, wide.y, cell.y));
      float fade = smoothstep(13.0, 4.0, length(w - middle.xy));
      gl_FragColor = vec4(mix(vec3(0.90, 0.91, 0.935), vec3(0.66, 0.69, 0.75), line * 0.9), 0.82 * fade); }`,
  );
  return { body, floor, shapes: { sphere: ball(), cylinder: drum(), box: cube(), quad: quad() }, meshes: new Map() };
}
function program(vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.bindAttribLocation(made, 0, "p");
  gl.bindAttribLocation(made, 1, "n");
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return { made, at: new Proxy({}, { get: (kept, name) => (kept[name] ??= gl.getUniformLocation(made, name)) }) };
}
function upload(points, normals, faces) {
  const made = [points, normals].map((values) => {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(values), gl.STATIC_DRAW);
    return buffer;
  });
  const index = gl.createBuffer(),
    wide = points.length / 3 > 65535;
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, wide ? new Uint32Array(faces) : new Uint16Array(faces), gl.STATIC_DRAW);
  return {
    points: made[0],
    normals: made[1],
    index,
    count: faces.length,
    kind: wide ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT,
  };
}
function ball() {
  const p = [],
    f = [],
    n = 14,
    m = 20;
  for (let i = 0; i <= n; i++)
    for (let j = 0; j <= m; j++) {
      const a = (Math.PI * i) / n,
        b = (2 * Math.PI * j) / m;
      p.push(Math.sin(a) * Math.cos(b), Math.sin(a) * Math.sin(b), Math.cos(a));
      if (i < n && j < m) {
        const k = i * (m + 1) + j;
        f.push(k, k + 1, k + m + 1, k + 1, k + m + 2, k + m + 1);
      }
    }
  return upload(p, p, f);
}
function drum() {
  const p = [],
    nn = [],
    f = [],
    m = 20;
  for (let j = 0; j <= m; j++)
    for (const z of [-1, 1]) {
      const b = (2 * Math.PI * j) / m,
        c = Math.cos(b),
        s = Math.sin(b);
      p.push(c, s, z, c, s, z);
      nn.push(c, s, 0, 0, 0, z);
      if (j < m && z < 0) {
        const k = 4 * j;
        f.push(k, k + 2, k + 4, k + 2, k + 6, k + 4);
      }
    }
  for (const z of [-1, 1]) {
    const middle = p.length / 3;
    p.push(0, 0, z);
    nn.push(0, 0, z);
    for (let j = 0; j < m; j++) {
      const k = 4 * j + (z < 0 ? 1 : 3);
      f.push(middle, k, k + 4);
    }
  }
  return upload(p, nn, f);
}
function cube() {
  const p = [],
    n = [],
    f = [];
  for (let axis = 0; axis < 3; axis++)
    for (const side of [-1, 1]) {
      const k = p.length / 3;
      for (const [a, b] of [
        [-1, -1],
        [1, -1],
        [1, 1],
        [-1, 1],
      ]) {
        const v = [0, 0, 0],
          m = [0, 0, 0];
        v[axis] = m[axis] = side;
        v[(axis + 1) % 3] = a;
        v[(axis + 2) % 3] = b;
        p.push(...v);
        n.push(...m);
      }
      f.push(k, k + 1, k + 2, k, k + 2, k + 3);
    }
  return upload(p, n, f);
}
function quad() {
  return upload([-1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 1, 0], Array(12).fill(0), [0, 1, 2, 0, 2, 3]);
}
function meshOf(key, index) {
  const name = key + "/" + index;
  if (!tools.meshes.has(name)) {
    const mesh = bodies[key].meshes[index],
      q = new Float32Array(bytes(mesh.points));
    const raw = bytes(mesh.faces),
      f = q.length / 3 < 65536 ? new Uint16Array(raw) : new Uint32Array(raw);
    const p = [],
      n = [],
      faces = []; // each face its own corners, so that edges show
    for (let k = 0; k < f.length; k += 3) {
      const [a, b, c] = [0, 1, 2].map((i) => [0, 1, 2].map((j) => q[3 * f[k + i] + j]));
      const u = b.map((v, j) => v - a[j]),
        w = c.map((v, j) => v - a[j]);
      const m = [u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]];
      const size = Math.hypot(...m) || 1;
      for (const v of [a, b, c]) {
        faces.push(p.length / 3);
        p.push(...v);
        n.push(...m.map((x) => x / size));
      }
    }
    tools.meshes.set(name, upload(p, n, faces));
  }
  return tools.meshes.get(name);
}
function put(shape, size, at, turn, colour) {
  const where = tools.body.at;
  if (put.last !== shape) {
    for (const [place, buffer] of [
      [0, shape.points],
      [1, shape.normals],
    ]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, shape.index);
    put.last = shape;
  }
  gl.uniformMatrix3fv(where.turn, false, matrix(turn));
  gl.uniform3fv(where.size, size);
  gl.uniform3fv(where.at, at);
  gl.uniform3fv(where.colour, colour);
  gl.drawElements(gl.TRIANGLES, shape.count, shape.kind, 0);
}
function pose(side, frame, part) {
  const k = 7 * (frame * side.parts + part),
    p = side.poses;
  return {
    at: [0, 1, 2].map((j) => p[k + j] * side.unit + side.middle[j]),
    turn: [3, 4, 5, 6].map((j) => p[k + j] / 32767),
  };
}
function footColour(side, frame, foot) {
  const flags = side.flags[Math.min(frame, side.flags.length - 1)],
    mine = foot - 1;
  if (flags & (4 << mine)) return SLIDE;
  return flags & (1 << mine) ? (flags & 32 ? SUNK : TOUCH) : AIR;
}
function drawActor(actor, frame, shadow) {
  const side = actor.side,
    key = side.body,
    now = Math.min(frame, side.frames - 1),
    poses = [];
  for (let part = 0; part < side.parts; part++) poses.push(pose(side, now, part));
  const { sphere, cylinder, box } = tools.shapes;
  gl.uniform1f(tools.body.at.ghost, actor.ghost && !shadow ? 0.38 : 1);
  for (const shape of bodies[key].shapes) {
    const of = poses[shape.part],
      paint = shadow
        ? [0.74, 0.755, 0.79]
        : shape.foot && !actor.ghost
          ? footColour(side, now, shape.foot)
          : COLOURS[actor.paint];
    let at = of.at,
      turn = of.turn,
      size = shape.size;
    if (shape.kind === "bone") {
      const from = poses[shape.from].at,
        way = along(from, at);
      at = at.map((v, j) => (v + from[j]) / 2);
      turn = way.turn;
      size = [size[0], way.length / 2, 0];
    } else {
      const moved = turned(turn, shape.at);
      at = at.map((v, j) => v + moved[j]);
      turn = product(turn, shape.turn);
    }
    if (shape.kind === "mesh") put(meshOf(key, shape.mesh), [1, 1, 1], at, turn, paint);
    else if (shape.kind === "box") put(box, size, at, turn, paint);
    else if (shape.kind === "sphere") put(sphere, size, at, turn, paint);
    else {
      const [r, half] = size,
        end = turned(turn, [0, 0, half]);
      put(cylinder, [r, r, Math.max(half, 1e-4)], at, turn, paint);
      if (shape.kind !== "cylinder")
        for (const s of [-1, 1])
          put(
            sphere,
            [r, r, r],
            at.map((v, j) => v + s * end[j]),
            turn,
            paint,
          );
    }
  }
}
function drawLoads({ side }, frame) {
  if (!side.load || !$("loads").checked) return;
  const now = Math.min(frame, side.frames - 1),
    upright = [1, 0, 0, 0],
    colour = [0.1, 0.45, 0.2];
  bodies[side.body].feet.forEach((parts, foot) => {
    const load = side.load[2 * now + foot] / 100;
    if (!parts.length || load < 0.02) return;
    const [x, y] = pose(side, now, parts[0]).at,
      up = 0.45 * load;
    put(tools.shapes.cylinder, [0.012, 0.012, up / 2], [x, y, up / 2], upright, colour);
    put(tools.shapes.sphere, [0.03, 0.03, 0.05], [x, y, up], upright, colour);
  });
}

// ---- what is on the stage
function actors() {
  const found = [];
  const of = (index, paint) => {
    const clip = cache.get(index);
    if (!clip) return;
    const shown = ["before", "clip"].filter((name) => clip.sides[name] && (name === "clip" || $("before").checked));
    for (const name of shown) {
      const title = [NAMES[name], rows[index].name].filter(Boolean).join(": "); // a long name is cut at its end
      found.push({
        side: clip.sides[name],
        paint: name === "clip" ? paint : name,
        title,
        ghost: false,
        home: found.length,
      });
    }
    if (clip.sides.reference && $("reference").checked)
      found.push({
        side: clip.sides.reference,
        paint: "reference",
        title: "reference",
        ghost: true,
        home: found.length - 1,
      });
  };
  if (state.kept !== null && state.kept !== state.here) of(state.kept, "kept");
  of(state.here, "clip");
  return found;
}
function longest() {
  return Math.max(1, ...actors().map((actor) => actor.side.frames));
}

function draw() {
  state.dirty = false;
  const found = actors(),
    solid = found.filter((actor) => !actor.ghost),
    overlay = $("overlay").checked;
  const wide = canvas.clientWidth,
    tall = canvas.clientHeight,
    dots = Math.min(window.devicePixelRatio || 1, 2);
  label(solid, overlay);
  if (!gl || !wide) return;
  if (canvas.width !== Math.round(wide * dots) || canvas.height !== Math.round(tall * dots)) {
    canvas.width = Math.round(wide * dots);
    canvas.height = Math.round(tall * dots);
  }
  gl.disable(gl.SCISSOR_TEST);
  gl.clearColor(0.965, 0.97, 0.98, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.SCISSOR_TEST);
  gl.enable(gl.DEPTH_TEST);
  const panels =
    overlay || !solid.length
      ? [found]
      : solid.map((actor) => found.filter((a) => a === actor || (a.ghost && found[a.home] === actor)));
  panels.forEach((cast, place) => {
    const stacked = wide < 0.8 * tall && panels.length > 1,
      share = 1 / panels.length;
    const x = stacked ? 0 : Math.round(canvas.width * place * share),
      w = stacked ? canvas.width : Math.round(canvas.width * share);
    const h = stacked ? Math.round(canvas.height * share) : canvas.height,
      y = stacked ? canvas.height - (place + 1) * h : 0;
    gl.viewport(x, y, w, h);
    gl.scissor(x, y, w, h);
    if (!cast.length) return;
    const lead = cast.find((actor) => !actor.ghost),
      now = Math.min(state.frame, lead.side.frames - 1);
    const root = pose(lead.side, $("follow").checked ? now : 0, 0).at,
      at = [root[0], root[1], 0.85 * Math.max(0.6, Math.min(root[2], 1.1))];
    const flat = state.far * Math.cos(state.tilt),
      fit = Math.max(1, (0.62 * h) / w);
    const eye = [
      at[0] + fit * flat * Math.cos(state.turn),
      at[1] + fit * flat * Math.sin(state.turn),
      Math.max(0.05, at[2] + fit * state.far * Math.sin(state.tilt)),
    ];
    const view = camera(eye, at, w / h);
    gl.disable(gl.BLEND);
    use(tools.body, view);
    gl.uniform1f(tools.body.at.flat_, 0);
    cast.filter((actor) => !actor.ghost).forEach((actor) => drawActor(actor, state.frame, false));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    use(tools.floor, view);
    gl.uniform3fv(tools.floor.at.middle, at);
    const { quad } = tools.shapes;
    gl.bindBuffer(gl.ARRAY_BUFFER, quad.points);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.disableVertexAttribArray(1);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, quad.index);
    gl.drawElements(gl.TRIANGLES, quad.count, quad.kind, 0);
    use(tools.body, view);
    gl.uniform1f(tools.body.at.flat_, 1);
    cast.filter((actor) => !actor.ghost).forEach((actor) => drawActor(actor, state.frame, true));
    gl.uniform1f(tools.body.at.flat_, 0);
    cast.filter((actor) => actor.ghost).forEach((actor) => drawActor(actor, state.frame, false));
    gl.uniform1f(tools.body.at.ghost, 1);
    gl.disable(gl.DEPTH_TEST); // a load is seen through the leg that bears it
    cast.filter((actor) => !actor.ghost).forEach((actor) => drawLoads(actor, state.frame));
    gl.enable(gl.DEPTH_TEST);
  });
}
function use(which, view) {
  put.last = null;
  gl.useProgram(which.made);
  gl.uniformMatrix4fv(which.at.eye, false, view);
}
function label(solid, overlay) {
  const texts = overlay ? [solid.map((actor) => actor.title).join(" + ")] : solid.map((actor) => actor.title);
  const stacked = canvas.clientWidth < 0.8 * canvas.clientHeight && texts.length > 1,
    key = JSON.stringify([texts, stacked]);
  if (label.last === key) return;
  label.last = key;
  $("labels").replaceChildren(
    ...texts.map((text, place) => {
      const span = document.createElement("span");
      span.textContent = text;
      span.style.left = stacked ? "8px" : `calc(${(100 * place) / texts.length}% + 8px)`;
      if (stacked) span.style.top = `calc(${(100 * place) / texts.length}% + 8px)`;
      span.style.maxWidth = `calc(${stacked || overlay ? 100 : 100 / texts.length}% - 16px)`;
      return span;
    }),
  );
}

// ---- timeline: slide over height, and bars of what is wrong
function drawLine() {
  const line = $("line"),
    dots = Math.min(window.devicePixelRatio || 1, 2),
    w = line.clientWidth,
    h = line.clientHeight;
  line.width = Math.round(w * dots);
  line.height = Math.round(h * dots);
  const pen = line.getContext("2d"),
    css = getComputedStyle(document.documentElement),
    ink = (name) => css.getPropertyValue(name);
  pen.scale(dots, dots);
  pen.font = "11px system-ui, sans-serif";
  const side = cache.get(state.here)?.sides.clip,
    total = longest();
  if (!side) return;
  const x = (frame) => (w * frame) / Math.max(1, total - 1),
    lanes = [
      [side.slide, 1, "--slide", "slide mm/s", 50],
      [side.height, 0.1, "--float", "height mm", 20],
    ];
  lanes.forEach(([values, unit, colour, title, least], lane) => {
    const top = 2 + lane * 38,
      tall = 34,
      low = Math.min(0, ...values) * unit,
      high = Math.max(least, Math.max(...values) * unit);
    pen.fillStyle = ink("--panel");
    pen.fillRect(0, top, w, tall);
    const y = (v) => top + tall - (tall * (v - low)) / (high - low || 1);
    pen.strokeStyle = ink("--line");
    pen.beginPath();
    pen.moveTo(0, y(0));
    pen.lineTo(w, y(0));
    pen.stroke();
    pen.strokeStyle = ink(colour);
    pen.lineWidth = 1.5;
    pen.beginPath();
    values.forEach((v, k) => pen.lineTo(x(k), y(v * unit)));
    pen.stroke();
    pen.fillStyle = ink("--soft");
    pen.fillText(`${title}, ${low.toFixed(0)} to ${high.toFixed(0)}`, 6, top + 11);
  });
  [
    [1, "--touch"],
    [2, "--touch"],
    [16, "--float"],
    [32, "--sunk"],
  ].forEach(([bit, colour], k) => {
    pen.fillStyle = ink(colour);
    side.flags.forEach((flag, frame) => {
      if (flag & bit) pen.fillRect(x(frame), 80 + 3 * k, Math.max(1, w / total), 2);
    });
  });
  pen.strokeStyle = ink("--ink");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x(state.frame), 0);
  pen.lineTo(x(state.frame), h);
  pen.stroke();
}

// ---- player
function go(frame) {
  state.frame = Math.max(0, Math.min(longest() - 1, Math.round(frame)));
  $("scrub").max = longest() - 1;
  $("scrub").value = state.frame;
  $("clock").value = `${(state.frame / data.fps).toFixed(2)} s`;
  touch();
}
function touch() {
  if (!state.dirty) {
    state.dirty = true;
    requestAnimationFrame(() => {
      draw();
      drawLine();
    });
  }
}
function play(on) {
  state.playing = on;
  $("play").textContent = on ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", on ? "stop" : "play");
  if (!on) return;
  let last = null,
    whole = state.frame >= longest() - 1 ? 0 : state.frame;
  const step = (now) => {
    if (!state.playing) return;
    if (last !== null) whole += (Math.min(now - last, 200) / 1000) * data.fps * state.speed;
    last = now;
    if (state.jumped) whole = state.frame;
    if (whole > longest() - 1) whole = 0;
    state.jumped = false;
    go(whole);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
function jump(frame) {
  state.jumped = true;
  go(frame);
}
function worst(what) {
  const found = cache.get(state.here)?.sides.clip.line.worst[what];
  if (!found) return;
  play(false);
  go(found[0]);
  say(`worst ${what}: ${found[1]} ${what === "slide" ? "mm/s" : "mm"} at ${(found[0] / data.fps).toFixed(2)} s`);
}
function say(text) {
  $("message").textContent = text;
}

// ---- clips
async function open_(index) {
  if (!(index >= 0 && index < rows.length)) return;
  state.here = index;
  say(gl ? "" : BLIND);
  list();
  if (!cache.has(index)) {
    say("reading ...");
    try {
      const answer = await fetch(`clip/${index}`),
        found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      Object.assign(bodies, found.bodies);
      cache.set(index, found.clip);
    } catch (error) {
      if (state.here === index) {
        say(error.message);
        touch();
      }
      return;
    }
    if (state.here !== index) return;
    say(gl ? "" : BLIND);
  }
  const clip = unpack(cache.get(index));
  const parts = [];
  if (clip.motions > 1) parts.push(`the first of ${clip.motions} motions in this file`);
  if (clip.cut_s) parts.push(`the first ${clip.cut_s} s of a longer clip`);
  if (parts.length) say(parts.join(", "));
  $("before").disabled = !clip.sides.before;
  $("reference").disabled = !clip.sides.reference;
  $("loads").disabled = !clip.sides.clip.load;
  go(Math.min(state.frame, longest() - 1));
}
function figure(row) {
  return state.sort in (row.metrics || {}) ? row.metrics[state.sort] : row[state.sort];
}
function sorted() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kept = rows
    .map((row, index) => index)
    .filter((index) => {
      const text = [rows[index].name, rows[index].verdict, rows[index].reason].filter(Boolean).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
  if (state.sort)
    kept.sort((a, b) => {
      const [x, y] = [figure(rows[a]), figure(rows[b])];
      if (x == null || y == null) return (x == null) - (y == null) || a - b;
      const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
      return (state.down && typeof x === "number" ? -order : order) || a - b;
    });
  else if (!state.down) kept.reverse();
  return kept;
}
function list() {
  state.order = sorted();
  const pages = Math.max(1, Math.ceil(state.order.length / PAGE));
  state.page = Math.max(0, Math.min(pages - 1, state.page));
  const shown = state.order.slice(state.page * PAGE, (state.page + 1) * PAGE),
    title = data.titles[state.sort];
  $("list").replaceChildren(
    ...shown.map((index) => {
      const row = rows[index],
        item = document.createElement("li"),
        name = document.createElement("b"),
        more = document.createElement("small");
      item.tabIndex = 0;
      item.className = index === state.here ? "here" : "";
      name.textContent = row.name;
      const told = document.createElement("span");
      told.className = row.verdict || "";
      told.textContent = row.verdict || "";
      more.append(told, row.reason ? ` ${row.reason}` : "");
      const metric = title ? state.sort : data.first,
        value = row.metrics?.[metric];
      if (row.metrics)
        more.append(
          [row.verdict ? " ·" : "", data.titles[metric], value ?? "–", data.units[metric]].filter(Boolean).join(" "),
        );
      if (row.error) more.append(row.error);
      item.append(name, more);
      item.onclick = () => open_(index);
      item.onkeydown = (event) => {
        if (event.key === "Enter") open_(index);
      };
      return item;
    }),
  );
  $("page").textContent =
    `${state.order.length} of ${rows.length} clips${pages > 1 ? `, page ${state.page + 1} of ${pages}` : ""}`;
  $("less").disabled = state.page === 0;
  $("more").disabled = state.page === pages - 1;
}
function next(by) {
  const place = state.order.indexOf(state.here),
    to = state.order[place + by];
  if (to === undefined) return;
  state.page = Math.floor((place + by) / PAGE);
  open_(to).then(() => document.querySelector("#list .here")?.scrollIntoView({ block: "nearest" }));
}
function compare() {
  state.kept = state.kept === state.here ? null : state.here;
  $("compare").classList.toggle("on", state.kept !== null);
  $("compare").textContent = state.kept === null ? "compare" : "kept";
  $("compare").title = state.kept === null ? "" : rows[state.kept].name;
  go(state.frame);
}

// ---- what the reader does
$("sort").append(
  new Option("in order", ""),
  new Option("by name", "name"),
  new Option("by verdict", "verdict"),
  new Option("by reason", "reason"),
  ...Object.entries(data.titles).map(([name, title]) => new Option(`by ${title}`, name)),
);
$("sort").onchange = () => {
  state.sort = $("sort").value;
  state.page = 0;
  list();
};
$("turn").onclick = () => {
  state.down = !state.down;
  $("turn").textContent = state.down ? "↓" : "↑";
  list();
};
$("filter").oninput = () => {
  state.page = 0;
  list();
};
$("less").onclick = () => {
  state.page--;
  list();
};
$("more").onclick = () => {
  state.page++;
  list();
};
$("scrub").oninput = () => jump(+$("scrub").value);
$("play").onclick = () => play(!state.playing);
$("speed").onchange = () => {
  state.speed = +$("speed").value;
};
$("compare").onclick = compare;
$("help").onclick = () => {
  $("keys").hidden = !$("keys").hidden;
};
for (const name of ["overlay", "before", "reference", "loads", "follow"]) $(name).onchange = () => go(state.frame);
for (const button of document.querySelectorAll("[data-worst]")) button.onclick = () => worst(button.dataset.worst);
$("line").onpointerdown = $("line").onpointermove = (event) => {
  if (event.buttons) jump(((longest() - 1) * event.offsetX) / $("line").clientWidth);
};
const fingers = new Map();
let apart = 0;
canvas.onpointerdown = (event) => {
  fingers.set(event.pointerId, event);
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointerup = canvas.onpointercancel = (event) => {
  fingers.delete(event.pointerId);
  apart = 0;
};
canvas.onpointermove = (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  if (fingers.size === 1) {
    state.turn -= (event.clientX - before.clientX) * 0.008;
    state.tilt = Math.max(-0.15, Math.min(1.5, state.tilt + (event.clientY - before.clientY) * 0.006));
  }
  fingers.set(event.pointerId, event);
  if (fingers.size === 2) {
    const [a, b] = fingers.values(),
      now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (apart) nearer(apart / now);
    apart = now;
  }
  touch();
};
canvas.onwheel = (event) => {
  event.preventDefault();
  nearer(Math.exp(0.001 * event.deltaY));
};
function nearer(by) {
  state.far = Math.max(0.8, Math.min(14, state.far * by));
  touch();
}
function speed(by) {
  const place = LEVELS.indexOf(state.speed) + by;
  if (!(place in LEVELS)) return;
  state.speed = LEVELS[place];
  $("speed").value = state.speed;
}
const flip = (name) => {
  if (!$(name).disabled) {
    $(name).checked = !$(name).checked;
    go(state.frame);
  }
};
const KEYS = {
  " ": () => play(!state.playing),
  ArrowUp: () => next(-1),
  ArrowDown: () => next(1),
  o: () => flip("overlay"),
  b: () => flip("before"),
  r: () => flip("reference"),
  l: () => flip("loads"),
  f: () => flip("follow"),
  c: compare,
  "+": () => speed(1),
  "=": () => speed(1),
  "-": () => speed(-1),
  1: () => worst("slide"),
  2: () => worst("float"),
  3: () => worst("penetration"),
  "?": () => $("help").click(),
  Home: () => jump(0),
  End: () => jump(longest() - 1),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=search], select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = event.shiftKey ? data.fps / 2 : 1;
  const act =
    event.key === "ArrowLeft"
      ? () => jump(state.frame - steps)
      : event.key === "ArrowRight"
        ? () => jump(state.frame + steps)
        : KEYS[event.key];
  if (!act || (event.key === " " && event.target.matches("button"))) return;
  event.preventDefault();
  act();
});
window.addEventListener("resize", touch);

// ---- figures that are still being measured
async function ask() {
  const answer = await fetch("rows").then(
    (found) => found.json(),
    () => null,
  );
  if (!answer) return;
  for (const [index, found] of Object.entries(answer.rows)) Object.assign(rows[index], found);
  $("told").textContent = answer.told;
  list();
  if (!answer.done) setTimeout(ask, 2000);
}
const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
if ([...$("sort").options].some((option) => option.value === asked.sort)) {
  state.sort = asked.sort;
  $("sort").value = asked.sort;
}
list();
if (rows.length)
  open_(asked.clip ? +asked.clip : state.order[0]).then(() => {
    if (asked.t) go(+asked.t * data.fps);
  });
if (data.served) ask();
