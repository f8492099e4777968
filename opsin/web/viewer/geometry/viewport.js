/** Which part of a picture is seen how large: zoom and pan as numbers, without a page. */

const MOST = 64; // screen pixels for a pixel of the picture

/** Maps pixels of the picture to those of the window: x' = x * scale + left. */
export class Viewport {
  scale = 1;
  left = 0;
  top = 0;
  /** How far beyond the window it reaches on each side. */
  margin = 0;

  /**
   * @param {number} pictureWidth pixels
   * @param {number} pictureHeight pixels
   */
  constructor(pictureWidth, pictureHeight) {
    this.pictureWidth = pictureWidth;
    this.pictureHeight = pictureHeight;
    this.width = 1;
    this.height = 1;
    this.fitted = true;
  }

  /** Takes the window's size in CSS pixels; what was fitted stays fitted. */
  resize(width, height) {
    const [middleX, middleY] = this.toPicture(this.width / 2, this.height / 2);
    [this.width, this.height] = [Math.max(1, width), Math.max(1, height)];
    if (this.fitted) return this.fit();
    this.left = this.width / 2 - middleX * this.scale;
    this.top = this.height / 2 - middleY * this.scale;
    this.#hold();
  }

  get fitScale() {
    const margin = Math.min(24, this.width / 20);
    const across = (this.width - 2 * margin) / this.pictureWidth;
    const down = (this.height - 2 * margin) / this.pictureHeight;
    return Math.max(1e-3, Math.min(across, down, 8));
  }

  /** The whole picture in the middle of the window. */
  fit() {
    this.scale = this.fitScale;
    this.left = (this.width - this.pictureWidth * this.scale) / 2;
    this.top = (this.height - this.pictureHeight * this.scale) / 2;
    this.fitted = true;
  }

  /** Zooms by a factor about a place of the window, by default its middle. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const least = Math.min(this.fitScale, 1) / 2;
    const scale = Math.min(MOST, Math.max(least, this.scale * factor));
    const ratio = scale / this.scale;
    this.left = x - (x - this.left) * ratio;
    this.top = y - (y - this.top) * ratio;
    this.scale = scale;
    this.fitted = false;
    this.#hold();
  }

  pan(across, down) {
    this.left += across;
    this.top += down;
    this.fitted = false;
    this.#hold();
  }

  /** Brings a box of the picture into view, with room around it. @param {number[]} box xywh */
  show([x, y, width, height]) {
    const room = 3;
    const wanted = Math.min(this.width / (width * room + 1), this.height / (height * room + 1), 8);
    this.scale = Math.max(this.fitScale, wanted);
    this.left = this.width / 2 - (x + width / 2) * this.scale;
    this.top = this.height / 2 - (y + height / 2) * this.scale;
    this.fitted = false;
  }

  /** @returns {[number, number]} the place of the picture under a place of the window */
  toPicture(x, y) {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  /** What is seen, in pixels of the picture. @returns {[number, number, number, number]} xyxy */
  seen() {
    return [...this.toPicture(0, 0), ...this.toPicture(this.width, this.height)];
  }

  /**
   * The same view with a margin all around, for painting beyond the window.
   * @param {number} margin
   */
  widened(margin) {
    const wider = new Viewport(this.pictureWidth, this.pictureHeight);
    const [width, height] = [this.width + 2 * margin, this.height + 2 * margin];
    return Object.assign(wider, { scale: this.scale, left: this.left + margin, top: this.top + margin, width, height, margin });
  }

  /** Some of the picture stays in the window, so that nobody loses it. */
  #hold() {
    const keep = 48;
    const [wide, high] = [this.pictureWidth * this.scale, this.pictureHeight * this.scale];
    this.left = Math.min(this.width - keep, Math.max(keep - wide, this.left));
    this.top = Math.min(this.height - keep, Math.max(keep - high, this.top));
  }
}
