/**
 * Gaussians between the pixels, in WGSL: what `enlarge` of `splatrender.js` computes, for every pixel of the screen, in
 * floats. At the picture's own size, and where it is shown smaller, its integer pixels are drawn, or their means.
 */

/** Numbers of the uniform `View`; see the shader. */
export const VIEW_WORDS = 12;
/** Floats of an atom, of a tile and code, of a shape. */
export const ATOM_WORDS = 8;
export const TILE_WORDS = 12;
export const FORM_WORDS = 8;
const REPEATS = 16; // most pixels a side that a mean is taken of

/** The shader.
 * @param {boolean} grey
 * @param {boolean} alpha
 * @param {number} norm of the gradients
 * @returns {string} */
export function splatShader(grey, alpha, norm) {
  const colour = grey
    ? 'vec3<f32>(v.x)'
    : `vec3<f32>(v.x * 2365.0 + v.y * 2896.0 + v.z * 1672.0, v.x * 2365.0 - v.z * 3344.0,
      v.x * 2365.0 - v.y * 2896.0 + v.z * 1672.0) / 4096.0`;
  return `
struct View {
  part: vec4<f32>,    // left, upper edge and size, in pixels of the picture
  screen: vec4<f32>,  // pixels of the canvas; pixels of it to one of the picture; left of it there are plain pixels
  picture: vec4<f32>, // width, height, columns of tiles, rows of tiles
};
struct Atom { place: vec2<f32>, shape: f32, unused: f32, amplitudes: vec4<f32> };
struct Tile { mean: vec4<f32>, across: vec4<f32>, down: vec4<f32> };  // .w: first atom, behind the last, 4 steps
struct Form { axes: vec4<f32>, more: vec4<f32> };  // u, v of x, y; profile, norm, half the box that it fills
@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var<storage, read> atoms: array<Atom>;
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;
@group(0) @binding(3) var<storage, read> forms: array<Form>;
@group(0) @binding(4) var exact: texture_2d<f32>;
@group(0) @binding(5) var moved: texture_2d<i32>;

struct Corner { @builtin(position) position: vec4<f32>, @location(0) place: vec2<f32> };

@vertex
fn corner(@builtin(vertex_index) k: u32) -> Corner {
  let place = vec2<f32>(f32(k & 1u) * 2.0, f32(k >> 1u) * 2.0);
  return Corner(vec4<f32>(place.x * 2.0 - 1.0, 1.0 - place.y * 2.0, 0.0, 1.0), place);
}

// a tile's channels at a place in it, in 1/256 of a pixel value less 128
fn summed(tile: Tile, at: vec2<f32>) -> vec3<f32> {
  let odd = (2.0 * at - 31.0) / ${norm};
  var sum = tile.mean.xyz / 32.0 + tile.across.xyz * odd.x + tile.down.xyz * odd.y;
  let end = u32(tile.across.w);
  for (var i = u32(tile.mean.w); i < end; i++) {
    let atom = atoms[i];
    let form = forms[u32(atom.shape)];
    let d = at - atom.place;
    if (any(abs(d) > form.more.zw)) { continue; }
    let u = dot(d, form.axes.xy);
    let v = dot(d, form.axes.zw);
    var value = exp(-0.5 * (u * u + v * v)) * form.more.y;
    if (form.more.x == 1.0) { value *= v; }
    if (form.more.x == 2.0) { value *= 1.0 - v * v; }
    sum += value * atom.amplitudes.xyz;
  }
  return sum * tile.down.w;
}

fn change(corner: vec2<i32>, at: vec2<f32>) -> vec4<f32> {
  let place = clamp(at, vec2<f32>(0.0), vec2<f32>(31.0));
  let low = min(vec2<i32>(place), vec2<i32>(30));
  let part = place - vec2<f32>(low);
  let first = corner + low;
  let a = vec4<f32>(textureLoad(moved, first, 0));
  let b = vec4<f32>(textureLoad(moved, first + vec2<i32>(1, 0), 0));
  let c = vec4<f32>(textureLoad(moved, first + vec2<i32>(0, 1), 0));
  let d = vec4<f32>(textureLoad(moved, first + vec2<i32>(1, 1), 0));
  return mix(mix(a, b, part.x), mix(c, d, part.x), part.y);
}

// between the pixels; at: in pixels, the first one's centre at 0
fn drawn(at: vec2<f32>) -> vec4<f32> {
  let grid = vec2<i32>(view.picture.zw);
  let tile = clamp(vec2<i32>(floor((at + 0.5) / 32.0)), vec2<i32>(0), grid - 1);
  let number = tile.y * grid.x + tile.x;
  let inside = at - vec2<f32>(tile * 32);
  let moves = change(tile * 32, inside);
  let v = summed(tiles[number], inside);
  let rgb = ${colour} + moves.xyz;
  ${alpha ? 'let a = summed(tiles[number + grid.x * grid.y], inside).x + moves.w;' : 'let a = 127.0 * 256.0;'}
  return clamp(round((vec4<f32>(rgb, a)) / 256.0 + 128.0) / 255.0, vec4<f32>(0.0), vec4<f32>(1.0));
}

fn pixel(at: vec2<i32>) -> vec4<f32> {
  let c = textureLoad(exact, clamp(at, vec2<i32>(0), vec2<i32>(view.picture.xy) - 1), 0);
  return vec4<f32>(c.rgb * c.a, c.a);
}

// the mean of the pixels under one of the screen
fn mean(low: vec2<f32>, side: f32) -> vec4<f32> {
  let n = clamp(i32(ceil(side)), 1, ${REPEATS});
  var sum = vec4<f32>(0.0);
  for (var y = 0; y < n; y++) {
    for (var x = 0; x < n; x++) {
      sum += pixel(vec2<i32>(floor(low + (vec2<f32>(f32(x), f32(y)) + 0.5) * side / f32(n))));
    }
  }
  return sum / f32(n * n);
}

@fragment
fn colour(corner: Corner) -> @location(0) vec4<f32> {
  let scale = view.screen.z;
  let at = view.part.xy + (corner.position.xy / view.screen.xy) * view.part.zw;
  if (scale <= 1.0) { return mean(at - 0.5 / scale, 1.0 / scale); }
  if (corner.place.x < view.screen.w) { return pixel(vec2<i32>(floor(at))); }
  let c = drawn(at - 0.5);
  return vec4<f32>(c.rgb * c.a, c.a);
}
`;
}
