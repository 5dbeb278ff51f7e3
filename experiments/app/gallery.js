// Thumbnails of the built-in photographs. A click chooses one.

export default function ({ data, parentElement, setTriggerValue }) {
  const gallery = parentElement.querySelector(".gallery");
  if (!gallery.children.length) {
    for (const [name, source] of Object.entries(data.pictures)) {
      const button = document.createElement("button"), image = document.createElement("img");
      button.type = "button";
      button.title = button.ariaLabel = name;
      image.src = source;
      image.alt = "";
      button.append(image);
      gallery.append(button);
    }
  }
  for (const button of gallery.children) {
    button.ariaPressed = String(button.title === data.chosen);
    button.onclick = () => setTriggerValue("name", button.title);
  }
}
