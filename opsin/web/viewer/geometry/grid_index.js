/** Finds the boxes at a place and in a window quickly: a grid of cells over the picture. */

/** @typedef {import("./shapes.js").Box} Box */

const CELLS = 48; // a side
const LARGE = 64; // a box over more cells than these is kept apart

export class GridIndex {
  #cells = new Map();
  #large = [];

  /**
   * @param {Box[]} boxes x, y, width, height
   * @param {number} width of the picture
   * @param {number} height of the picture
   */
  constructor(boxes, width, height) {
    this.boxes = boxes;
    this.across = Math.max(1, width / CELLS);
    this.down = Math.max(1, height / CELLS);
    boxes.forEach((box, number) => this.#add(box, number));
  }

  /** Numbers of the boxes under a point, the smallest first. @returns {number[]} */
  at(x, y, reach = 0) {
    const inside = this.#near([x - reach, y - reach, x + reach, y + reach]).filter((number) => {
      const [left, top, width, height] = this.boxes[number];
      return x >= left - reach && y >= top - reach && x <= left + width + reach && y <= top + height + reach;
    });
    const area = (number) => this.boxes[number][2] * this.boxes[number][3];
    return inside.sort((a, b) => area(a) - area(b));
  }

  #near(seen) {
    const found = new Set(this.#large);
    this.#each(seen, (key) => this.#cells.get(key)?.forEach((number) => found.add(number)));
    return [...found];
  }

  #add([x, y, width, height], number) {
    const keys = [];
    this.#each([x, y, x + width, y + height], (key) => keys.push(key));
    if (keys.length > LARGE) {
      this.#large.push(number);
      return;
    }
    for (const key of keys) {
      const cell = this.#cells.get(key);
      if (cell) cell.push(number);
      else this.#cells.set(key, [number]);
    }
  }

  #each([left, top, right, bottom], visit) {
    const cell = (value, size) => Math.min(CELLS, Math.max(-1, Math.floor(value / size)));
    for (let row = cell(top, this.down); row <= cell(bottom, this.down); row += 1) {
      for (let column = cell(left, this.across); column <= cell(right, this.across); column += 1) {
        visit(row * 1024 + column);
      }
    }
  }
}
