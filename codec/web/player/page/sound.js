/**
 * A film's sound: decoded by WebCodecs some seconds ahead, and played by the clock of the machine's sound.
 */

const AHEAD = 2; // seconds of the film that are decoded ahead
const READY = 0.3; // seconds that are to be there before it begins
const PATIENCE = 1500; // milliseconds for them to come
const LEAD = 0.06; // seconds between the decision to begin and the first sample
const JOIN = 0.005; // seconds that neighbours may overlap or lie apart, by rounding
const BACK = 0.1; // seconds that decoders need before what is to be heard

const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Sound of one track. */
export class Sound {
  #track;
  #config;
  #context = null;
  #gain = null;
  #run = null;
  #volume = 1;
  /** Whether it is known not to work. */
  failed = false;

  /** @param {import('../files/samples.js').Track} track
   * @param {AudioDecoderConfig} config */
  constructor(track, config) {
    this.#track = track;
    this.#config = config;
  }

  /** @param {import('../files/samples.js').Track} track
   * @returns {Promise<Sound | null>} null where this browser cannot decode it */
  static async open(track) {
    if (typeof AudioDecoder === 'undefined') return null;
    const config = { codec: track.codec, sampleRate: track.sampleRate, numberOfChannels: track.channels };
    if (track.description) config.description = track.description;
    const { supported } = await AudioDecoder.isConfigSupported(config).catch(() => ({ supported: false }));
    return supported ? new Sound(track, config) : null;
  }

  get works() {
    return !this.failed;
  }

  /** @returns {boolean} whether samples are being heard */
  get playing() {
    return this.#run?.begun ?? false;
  }

  /** @returns {number} seconds of the film that are heard now */
  get heard() {
    return this.#run.timeAt(heardBy(this.#context));
  }

  /** @param {number} volume 0 .. 1 */
  set volume(volume) {
    this.#volume = volume;
    if (this.#gain) this.#gain.gain.value = volume;
  }

  /** Begin to play.
   * @param {number} time seconds of the film
   * @param {number} rate
   * @returns {Promise<boolean>} false where nothing can be heard: another clock has to do */
  async play(time, rate) {
    this.stop();
    if (this.failed || !(await this.#awake())) return false;
    const run = new Run(this.#track, this.#config, this.#context, this.#gain, time, rate);
    this.#run = run;
    await Promise.race([run.ready, delay(PATIENCE)]);
    if (this.#run !== run) return false;
    if (run.failed) {
      this.failed = true;
      this.stop();
      return false;
    }
    run.begin();
    return true;
  }

  stop() {
    this.#run?.stop();
    this.#run = null;
  }

  /** Let go of the machine's sound. */
  close() {
    this.stop();
    this.#context?.close();
    this.#context = null;
  }

  /** Whether the machine's sound runs; browsers allow that after somebody has touched the page. */
  async #awake() {
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: this.#track.sampleRate });
      this.#gain = this.#context.createGain();
      this.#gain.gain.value = this.#volume;
      this.#gain.connect(this.#context.destination);
    }
    if (this.#context.state !== 'running') await Promise.race([this.#context.resume(), delay(PATIENCE / 2)]);
    return this.#context.state === 'running';
  }
}

/** Seconds of the context whose samples leave the machine now. `currentTime` alone goes by steps of some 10 ms.
 * @param {AudioContext} context
 * @returns {number} */
function heardBy(context) {
  const { currentTime, outputLatency, baseLatency } = context;
  const { contextTime, performanceTime } = context.getOutputTimestamp();
  if (!contextTime) return currentTime - (outputLatency || baseLatency || 0); // nothing has left it yet
  return Math.min(contextTime + (performance.now() - performanceTime) / 1000, currentTime);
}

/** One run of playing, from some time on. */
class Run {
  #track;
  #context;
  #gain;
  #from; // seconds of the film
  #rate;
  #decoder;
  #waiting = []; // buffers that are not given to the context yet
  #playing = new Set();
  #start = 0; // when `from` is played, seconds of the context
  #decoded; // as far as that is, seconds of the film
  #end = null; // where the last buffer ends, seconds of the film
  #stopped = false;
  begun = false;
  failed = false;

  constructor(track, config, context, gain, from, rate) {
    this.#track = track;
    this.#context = context;
    this.#gain = gain;
    this.#from = from;
    this.#rate = rate;
    this.#decoded = from;
    this.ready = new Promise((resolve) => (this.isReady = resolve));
    this.#decoder = new AudioDecoder({
      output: (data) => this.#output(data),
      error: () => this.#fail(),
    });
    this.#decoder.configure(config);
    this.#feed().catch(() => this.#fail());
  }

  /** @param {number} when seconds of the context
   * @returns {number} seconds of the film */
  timeAt(when) {
    return this.#from + Math.max(0, when - this.#start) * this.#rate;
  }

  begin() {
    this.#start = this.#context.currentTime + LEAD;
    this.begun = true;
    for (const buffer of this.#waiting.splice(0)) this.#schedule(buffer);
  }

  stop() {
    this.#stopped = true;
    this.isReady();
    if (this.#decoder.state !== 'closed') this.#decoder.close();
    for (const node of this.#playing) node.stop();
    this.#playing.clear();
    this.#waiting.length = 0;
  }

  async #feed() {
    const { timescale } = this.#track;
    let i = await this.#track.find(Math.floor((this.#from - BACK) * timescale));
    for (; i >= 0 && !this.#stopped; i = await this.#track.following(i)) {
      const { pts, duration } = this.#track.sample(i);
      const data = await this.#track.data(i);
      while (!this.#stopped && this.#isAhead(pts / timescale)) await delay(50);
      if (this.#stopped) return;
      this.#decoder.decode(new EncodedAudioChunk({
        type: 'key',
        timestamp: Math.round((pts / timescale) * 1e6),
        duration: Math.round((duration / timescale) * 1e6),
        data,
      }));
    }
    if (!this.#stopped) await this.#decoder.flush();
    this.isReady();
  }

  #isAhead(time) {
    const heard = this.begun ? this.timeAt(this.#context.currentTime) : this.#from;
    return time > heard + AHEAD * Math.max(1, this.#rate);
  }

  #output(data) {
    const { numberOfChannels, numberOfFrames, sampleRate, timestamp } = data;
    const time = timestamp / 1e6;
    if (!this.#stopped && numberOfFrames && time + numberOfFrames / sampleRate > this.#from) {
      const buffer = this.#context.createBuffer(numberOfChannels, numberOfFrames, sampleRate);
      for (let planeIndex = 0; planeIndex < numberOfChannels; planeIndex++) {
        data.copyTo(buffer.getChannelData(planeIndex), { planeIndex, format: 'f32-planar' });
      }
      const begins = this.#end !== null && Math.abs(time - this.#end) < JOIN ? this.#end : time;
      this.#end = begins + buffer.duration;
      if (this.begun) this.#schedule({ time: begins, buffer });
      else this.#waiting.push({ time: begins, buffer });
      if (this.#end >= this.#from + READY) this.isReady();
    }
    data.close();
  }

  #schedule({ time, buffer }) {
    const when = this.#start + (time - this.#from) / this.#rate;
    const late = Math.max(0, Math.max(this.#context.currentTime - when, this.#start - when)) * this.#rate;
    if (late >= buffer.duration || time + buffer.duration <= this.#track.begin / this.#track.timescale) return;
    const node = this.#context.createBufferSource();
    node.buffer = buffer;
    node.playbackRate.value = this.#rate;
    node.connect(this.#gain);
    node.addEventListener('ended', () => this.#playing.delete(node));
    node.start(when + late / this.#rate, late);
    this.#playing.add(node);
  }

  #fail() {
    this.failed = true;
    this.isReady();
  }
}
