/** Canvases that a GPU fills by one pipeline, each with numbers of its own: those of a picture and of the lens. */

/** Canvases of one device. */
export class Canvases {
  #device;
  #pipeline;
  #entries;
  #alphaMode;
  #drawn = new Map(); // by canvas: context, uniform, bindings

  /** @param {GPUDevice} device
   * @param {GPURenderPipeline} pipeline of one triangle; its binding 0 is a uniform, the numbers of a drawing
   * @param {GPUBindGroupEntry[]} entries its other bindings
   * @param {GPUCanvasAlphaMode} alphaMode */
  constructor(device, pipeline, entries, alphaMode) {
    [this.#device, this.#pipeline, this.#entries, this.#alphaMode] = [device, pipeline, entries, alphaMode];
  }

  /** What is needed to draw on a canvas. */
  #of(canvas, size) {
    if (this.#drawn.has(canvas)) return this.#drawn.get(canvas);
    const device = this.#device;
    const context = canvas.getContext('webgpu');
    context.configure({ device, format: navigator.gpu.getPreferredCanvasFormat(), alphaMode: this.#alphaMode });
    const uniform = device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    const entries = [{ binding: 0, resource: { buffer: uniform } }, ...this.#entries];
    const bindings = device.createBindGroup({ layout: this.#pipeline.getBindGroupLayout(0), entries });
    this.#drawn.set(canvas, { context, uniform, bindings });
    return this.#drawn.get(canvas);
  }

  /** Fill a canvas.
   * @param {HTMLCanvasElement} canvas
   * @param {Float32Array<ArrayBuffer>} numbers always as many */
  draw(canvas, numbers) {
    const { context, uniform, bindings } = this.#of(canvas, numbers.byteLength);
    this.#device.queue.writeBuffer(uniform, 0, numbers);
    const encoder = this.#device.createCommandEncoder();
    const view = context.getCurrentTexture().createView();
    const pass = encoder.beginRenderPass({ colorAttachments: [{ view, loadOp: 'clear', storeOp: 'store' }] });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, bindings);
    pass.draw(3);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  destroy() {
    for (const { context, uniform } of this.#drawn.values()) {
      uniform.destroy();
      context.unconfigure();
    }
  }
}
