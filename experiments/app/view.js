// A row of pictures. A click sends the place to the page; all pictures show the pointer.

function figure() {
  const made = document.createElement("figure");
  made.innerHTML = `<div class="stack"><img class="photo" alt=""><img class="colours" alt=""><img class="heat" alt="">
    <img class="lines" alt=""><i class="pointer"></i><i class="marker"></i></div><figcaption><b></b><span></span></figcaption>`;
  return made;
}

function show(image, source) {
  image.hidden = !source;
  // The browser keeps the old picture until it has decoded the new one, so nothing flickers while a slider moves.
  if (source && image.getAttribute("src") !== source) image.src = source;
}

function put(mark, point) {
  mark.style.left = `${100 * point[0]}%`;
  mark.style.top = `${100 * point[1]}%`;
}

function place(event, stack) {
  const box = stack.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function pointers(visibility, point) {
  for (const each of document.querySelectorAll(".view .pointer")) {
    each.style.visibility = visibility;
    if (point) put(each, point);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const view = parentElement.querySelector(".view"), row = view.querySelector(".row");
  const control = view.querySelector(".opacity");
  control.hidden = !data.opacity;
  control.querySelector("input").oninput = (event) => view.style.setProperty("--opacity", event.target.value);
  for (const name of ["columns", "height", "aspect"]) row.style.setProperty(`--${name}`, data[name]);
  while (row.children.length > data.panels.length) row.lastChild.remove();
  while (row.children.length < data.panels.length) row.append(figure());
  data.panels.forEach((panel, index) => {
    const shown = row.children[index], stack = shown.querySelector(".stack");
    for (const layer of ["colours", "heat", "lines"]) show(shown.querySelector(`.${layer}`), panel[layer]);
    show(shown.querySelector(".photo"), data.photo);
    stack.classList.toggle("grey", Boolean(panel.heat));
    shown.querySelector("b").textContent = panel.title;
    shown.querySelector("span").textContent = panel.note;
    put(shown.querySelector(".marker"), data.point);
    stack.onclick = (event) => setTriggerValue("point", place(event, stack));
    stack.onpointermove = (event) => pointers("visible", place(event, stack));
    stack.onpointerleave = () => pointers("hidden");
  });
}
