/**
 * What a screen shows of a picture: planes of integers to colours, in WGSL. Base and film are both at hand.
 *
 * Planes are r8uint or r16uint textures. Samples between samples are mixed of their four neighbours.
 */

/** Numbers of the uniform `View`; see the shader. */
export const VIEW_WORDS = 4 * (3 + 3 + 7);

const bilinear = `
fn mixed(plane: texture_2d<u32>, place: vec2<f32>) -> f32 {
  let last = vec2<i32>(textureDimensions(plane)) - 1;
  let low = floor(place);
  let part = place - low;
  let at = clamp(vec2<i32>(low), vec2<i32>(0), last);
  let next = clamp(vec2<i32>(low) + 1, vec2<i32>(0), last);
  let a = f32(textureLoad(plane, at, 0).r);
  let b = f32(textureLoad(plane, vec2<i32>(next.x, at.y), 0).r);
  let c = f32(textureLoad(plane, vec2<i32>(at.x, next.y), 0).r);
  let d = f32(textureLoad(plane, next, 0).r);
  return mix(mix(a, b, part.x), mix(c, d, part.x), part.y);
}
`;

const lights = `
fn pq(v: vec3<f32>) -> vec3<f32> { // units of diffuse white, 203 cd/m2
  let p = pow(v, vec3<f32>(1.0 / 78.84375));
  let n = max(p - 0.8359375, vec3<f32>(0.0)) / (18.8515625 - 18.6875 * p);
  return pow(n, vec3<f32>(1.0 / 0.1593017578125)) * (10000.0 / 203.0);
}

fn hlg(v: vec3<f32>) -> vec3<f32> {
  let low = v * v / 3.0;
  let high = (exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12.0;
  let scene = select(high, low, v <= vec3<f32>(0.5));
  let luma = max(dot(scene, vec3<f32>(0.2627, 0.678, 0.0593)), 1e-6);
  return scene * pow(luma, 0.2) * (1000.0 / 203.0);
}

fn narrowed(v: vec3<f32>) -> vec3<f32> { // BT.2020 to BT.709
  return vec3<f32>(dot(v, vec3<f32>(1.6605, -0.5876, -0.0728)), dot(v, vec3<f32>(-0.1246, 1.1329, -0.0083)),
    dot(v, vec3<f32>(-0.0182, -0.1006, 1.1187)));
}

fn compressed(v: vec3<f32>, peak: f32) -> vec3<f32> {
  let most = max(max(v.r, max(v.g, v.b)), 1e-6);
  return v * ((1.0 + most / (peak * peak)) / (1.0 + most)) * 1.25;
}

fn encoded(v: vec3<f32>) -> vec3<f32> { // sRGB
  let c = clamp(v, vec3<f32>(0.0), vec3<f32>(1.0));
  return select(1.055 * pow(c, vec3<f32>(1.0 / 2.4)) - 0.055, 12.92 * c, c <= vec3<f32>(0.0031308));
}

fn shown(rgb: vec3<f32>) -> vec3<f32> {
  let colour = clamp(rgb, vec3<f32>(0.0), vec3<f32>(1.0));
  let kind = view.light.x;
  let wide = view.light.y > 0.5;
  if (kind < 0.5) {
    if (!wide) { return colour; }
    let narrow = clamp(narrowed(pow(colour, vec3<f32>(2.4))), vec3<f32>(0.0), vec3<f32>(1.0));
    return pow(narrow, vec3<f32>(1.0 / 2.4));
  }
  var linear = select(hlg(colour), pq(colour), kind < 1.5);
  if (wide) { linear = narrowed(linear); }
  return encoded(compressed(max(linear, vec3<f32>(0.0)), view.light.z));
}
`;

/** The shader.
 * @param {boolean} grey whether there is no chroma in the film; its base has chroma all the same
 * @returns {string} WGSL: binding 0 the view, 1 .. 3 the base's planes, 4 .. 6 the film's, of grey ones only 4 */
export function screenShader(grey) {
  const chroma = grey ? 'vec2<f32>(view.middle.x)' : 'vec2<f32>(mixed(film1, c), mixed(film2, c))';
  return `
struct View {
  film: array<vec4<f32>, 3>,  // rows from samples to R'G'B'
  base: array<vec4<f32>, 3>,
  light: vec4<f32>,           // transfer, whether primaries are wide, peak, whether all is base
  turn: vec4<f32>,            // from the screen to the film
  shift: vec4<f32>,           // and what is added; divider; unused
  part: vec4<f32>,            // of the screen that is drawn: corner, size
  sizes: vec4<f32>,           // luma samples of the film, of the base
  middle: vec4<f32>,          // chroma sample without colour; unused; place of the first chroma sample of the film
  steps: vec4<f32>,           // luma samples to a chroma sample of the film
};
@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var base0: texture_2d<u32>;
@group(0) @binding(2) var base1: texture_2d<u32>;
@group(0) @binding(3) var base2: texture_2d<u32>;
@group(0) @binding(4) var film0: texture_2d<u32>;
${grey ? '' : '@group(0) @binding(5) var film1: texture_2d<u32>;\n@group(0) @binding(6) var film2: texture_2d<u32>;'}
${bilinear}${lights}
struct Corner { @builtin(position) position: vec4<f32>, @location(0) place: vec2<f32> };

@vertex
fn corner(@builtin(vertex_index) k: u32) -> Corner {
  let place = vec2<f32>(f32(k & 1u) * 2.0, f32(k >> 1u) * 2.0);
  return Corner(vec4<f32>(place.x * 2.0 - 1.0, 1.0 - place.y * 2.0, 0.0, 1.0), place);
}

fn ofFilm(place: vec2<f32>) -> vec3<f32> {
  let at = place * view.sizes.xy - 0.5;
  let c = (at - view.middle.zw) / view.steps.xy;
  let s = vec4<f32>(mixed(film0, at), ${chroma}, 1.0);
  return vec3<f32>(dot(view.film[0], s), dot(view.film[1], s), dot(view.film[2], s));
}

fn ofBase(place: vec2<f32>) -> vec3<f32> {
  let at = place * view.sizes.zw - 0.5;
  let c = (at - view.middle.zw * view.steps.zw) / 2.0;
  let s = vec4<f32>(mixed(base0, at), mixed(base1, c), mixed(base2, c), 1.0);
  return vec3<f32>(dot(view.base[0], s), dot(view.base[1], s), dot(view.base[2], s));
}

@fragment
fn colour(corner: Corner) -> @location(0) vec4<f32> {
  let place = view.part.xy + corner.place * view.part.zw;
  let isBase = corner.place.x < view.shift.z || view.light.w > 0.5;
  let film = vec2<f32>(dot(view.turn.xy, place), dot(view.turn.zw, place)) + view.shift.xy;
  var rgb: vec3<f32>;
  if (isBase) { rgb = ofBase(film); } else { rgb = ofFilm(film); }
  return vec4<f32>(shown(rgb), 1.0);
}
`;
}
