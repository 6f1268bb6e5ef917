// A picture that is no longer kept, or that cannot be shown, says so in its place.
const gone = (image) => {
  const words = document.createElement("span");
  words.className = "picture gone";
  words.dataset.gone = image.getAttribute("src");
  words.textContent = image.alt ? `No picture to show: ${image.alt}` : "no picture";
  image.replaceWith(words);
};
document.addEventListener("error", (event) => {
  if (event.target.matches?.("img[data-picture]")) gone(event.target);
}, true);
for (const image of document.querySelectorAll("img[data-picture]")) {
  if (image.complete && !image.naturalWidth) gone(image);
}
